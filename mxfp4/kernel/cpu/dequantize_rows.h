// Scale bytes and codes to rows of elements, through a table of a block's 16 values.
#pragma once

#include <cstring>

#include "mxfp4/codec/block.h"
#include "mxfp4/codec/float16.h"
#include "mxfp4/kernel/ops.h"

namespace mxfp4::kernel {
namespace {

// How the exact f32 product becomes an element of each dtype, and the bit that negates it.
struct ToF32 {
  using Raw = std::uint32_t;
  static constexpr Raw kSign = 0x80000000u;
  static Raw round(float x) noexcept { return f32_bits(x); }
};
struct ToBf16 {
  using Raw = std::uint16_t;
  static constexpr Raw kSign = 0x8000u;
  static Raw round(float x) noexcept { return static_cast<Raw>(f32_bits(x) >> 16); }  // nothing is lost
};
struct ToF16 {
  using Raw = std::uint16_t;
  static constexpr Raw kSign = 0x8000u;
  static Raw round(float x) noexcept { return f32_to_f16(x); }
};

template <class To, int B>
void dequantize_rows(const DequantizeArgs& args) noexcept {
  using Raw = typename To::Raw;
  const std::size_t blocks = (args.columns + B - 1) / B;
  std::byte* const out = static_cast<std::byte*>(args.out);
  for (std::size_t row = 0; row < args.rows; ++row) {
    for (std::size_t b = 0; b < blocks; ++b) {
      const std::size_t index = row * blocks + b;
      const std::uint8_t* const codes = args.codes + index * (B / 2);
      Raw table[16], block[B];
      for (int c = 0; c < 8; ++c) {
        table[c] = To::round(decode(static_cast<std::uint8_t>(c), args.scales[index]));
        table[c + 8] = table[c] | To::kSign;
      }
      for (int i = 0; i < B / 2; ++i) {
        const int low = args.order == NibbleOrder::interleaved ? 2 * i : i;
        const int high = args.order == NibbleOrder::interleaved ? 2 * i + 1 : i + 16;
        block[low] = table[codes[i] & 15];
        block[high] = table[codes[i] >> 4];
      }
      const std::size_t left = args.columns - b * B;
      std::memcpy(out + (row * args.columns + b * B) * sizeof(Raw), block,
                  (left < B ? left : B) * sizeof(Raw));
    }
  }
}

template <class To>
void dequantize_blocks(const DequantizeArgs& args) noexcept {
  return args.block_size == 16 ? dequantize_rows<To, 16>(args) : dequantize_rows<To, 32>(args);
}

void dequantize(const DequantizeArgs& args) noexcept {
  if (args.dtype == Dtype::f32) return dequantize_blocks<ToF32>(args);
  if (args.dtype == Dtype::bf16) return dequantize_blocks<ToBf16>(args);
  return dequantize_blocks<ToF16>(args);
}

}  // namespace
}  // namespace mxfp4::kernel
