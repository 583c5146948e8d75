// Numbers as bit patterns.
#pragma once

#include <cstdint>

#include "mxfp4/codec/macros.h"

namespace mxfp4 {

/// std::bit_cast, but never emitted as a function of its own (macros.h says why that matters).
template <class To, class From>
MXFP4_CODEC To bit_cast(From from) noexcept {
  static_assert(sizeof(To) == sizeof(From));
  return __builtin_bit_cast(To, from);
}

MXFP4_CODEC std::uint32_t f32_bits(float x) noexcept {
  return bit_cast<std::uint32_t>(x);
}

/// |x| as bits; their order is that of the magnitudes, infinity and NaN above all finite ones.
MXFP4_CODEC std::uint32_t magnitude_bits(float x) noexcept {
  return f32_bits(x) & 0x7FFFFFFFu;
}

inline constexpr std::uint32_t kInfinityBits = 0x7F800000u;

MXFP4_CODEC float magnitude(float x) noexcept {
  return bit_cast<float>(magnitude_bits(x));
}

MXFP4_CODEC bool is_finite(float x) noexcept {
  return magnitude_bits(x) < kInfinityBits;
}

MXFP4_CODEC bool is_nan(float x) noexcept {
  return magnitude_bits(x) > kInfinityBits;
}

MXFP4_CODEC bool sign_bit(float x) noexcept {
  return f32_bits(x) >> 31 != 0;
}

/// 2^k as a double, -1022 <= k <= 1023.
MXFP4_CODEC double power_of_two(int k) noexcept {
  return bit_cast<double>(static_cast<std::uint64_t>(k + 1023) << 52);
}

}  // namespace mxfp4
