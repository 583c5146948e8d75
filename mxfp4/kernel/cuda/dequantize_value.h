// Codes to values of any dtype, exact at every scale byte, without a table.
#pragma once

#include <cstdint>

#include "mxfp4/codec/e8m0.h"
#include "mxfp4/codec/float16.h"

namespace mxfp4::kernel::cuda {

/// Value of a code 0..15 under a byte 0..254. The magnitude's bits at the bottom of the exponent and the top
/// of the mantissa are it times 2^-126, code 1 included, as E2M1 and IEEE subnormals behave alike; both
/// products are exact or infinite.
MXFP4_CODEC float decode_value(std::uint32_t code, float scale) noexcept {
  const float scaled = bit_cast<float>((code & 7u) << 22 | (code & 8u) << 28);
  return scaled * 0x1p126f * scale;
}

/// Four codes from the low, or the high, nibbles of four bytes, the first in the lowest bits.
MXFP4_CODEC std::uint32_t drawn_together(std::uint32_t bytes, bool high) noexcept {
  std::uint32_t nibbles = bytes >> (high ? 4 : 0) & 0x0F0F0F0Fu;
  nibbles = (nibbles | nibbles >> 4) & 0x00FF00FFu;
  return (nibbles | nibbles >> 8) & 0xFFFFu;
}
static_assert(drawn_together(0x8D7C6B5Au, false) == 0xDCBAu && drawn_together(0x8D7C6B5Au, true) == 0x8765u);

/// An f32 that is the exact product, as an element of type Raw (bits). It has no more than 2 bits of
/// mantissa, so for bf16, whose smallest number is 2^-133, its upper half is all of it.
struct ToF32 {
  using Raw = std::uint32_t;
  static constexpr Raw kNan = 0x7FC00000u;
  MXFP4_CODEC static Raw bits(float x) noexcept { return f32_bits(x); }
};
struct ToBf16 {
  using Raw = std::uint16_t;
  static constexpr Raw kNan = 0x7FC0u;
  MXFP4_CODEC static Raw bits(float x) noexcept { return static_cast<Raw>(f32_bits(x) >> 16); }
};
struct ToF16 {
  using Raw = std::uint16_t;
  static constexpr Raw kNan = 0x7E00u;
  MXFP4_CODEC static Raw bits(float x) noexcept { return f32_to_f16(x); }
};

/// n codes of a word, the first in the lowest bits. A NaN is written as the processor's kernels write it,
/// whatever a device would compute.
template <class To>
MXFP4_CODEC void decode_word(std::uint32_t codes, int n, std::uint8_t byte, typename To::Raw* out) noexcept {
  const float scale = e8m0_value(byte);
  for (int i = 0; i < n; ++i) {
    const std::uint32_t code = codes >> (4 * i) & 15u;
    const std::uint32_t nan = To::kNan | (code >> 3) << (8 * sizeof(typename To::Raw) - 1);
    out[i] = byte == kE8m0Nan ? static_cast<typename To::Raw>(nan) : To::bits(decode_value(code, scale));
  }
}

}  // namespace mxfp4::kernel::cuda
