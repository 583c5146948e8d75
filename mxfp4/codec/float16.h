// bfloat16 and IEEE binary16 as bit patterns, to and from f32, rounding to nearest, ties to even.
#pragma once

#include <cstdint>

#include "mxfp4/codec/bits.h"
#include "mxfp4/codec/macros.h"

namespace mxfp4 {

MXFP4_CODEC float bf16_to_f32(std::uint16_t bits) noexcept {
  return bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

/// Overflow gives infinity; NaN stays NaN (quiet, with the sign and upper payload kept).
MXFP4_CODEC std::uint16_t f32_to_bf16(float value) noexcept {
  const std::uint32_t bits = f32_bits(value);
  if (is_nan(value)) return static_cast<std::uint16_t>((bits >> 16) | 0x40u);
  return static_cast<std::uint16_t>((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}

/// Without a branch on the data: the exponent and mantissa taken as those of an f32 are the value times
/// 2^-112, and the product that corrects this is exact.
MXFP4_CODEC float f16_to_f32(std::uint16_t bits) noexcept {
  const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000u) << 16;
  const std::uint32_t magnitude = static_cast<std::uint32_t>(bits & 0x7FFFu) << 13;
  const std::uint32_t scaled = f32_bits(bit_cast<float>(magnitude) * 0x1p112f);
  const std::uint32_t infinity = magnitude >= 0x0F800000u ? kInfinityBits : 0u;
  const std::uint32_t quiet = magnitude > 0x0F800000u ? 0x00400000u : 0u;
  return bit_cast<float>(sign | scaled | infinity | quiet);
}

/// Overflow gives infinity; NaN stays NaN (quiet).
MXFP4_CODEC std::uint16_t f32_to_f16(float value) noexcept {
  const std::uint32_t sign = (f32_bits(value) >> 16) & 0x8000u;
  const std::uint32_t magnitude = magnitude_bits(value);
  if (magnitude > kInfinityBits) {
    return static_cast<std::uint16_t>(sign | 0x7E00u | ((magnitude >> 13) & 0x3FFu));
  }
  if (magnitude >= 0x47800000u) return static_cast<std::uint16_t>(sign | 0x7C00u);  // 2^16 and above
  if (magnitude < 0x38800000u) {  // below 2^-14: a multiple of 2^-24, rounded by adding 0.5 = 2^23 * 2^-24
    const float shifted = bit_cast<float>(magnitude) + 0.5f;
    return static_cast<std::uint16_t>(sign | (f32_bits(shifted) - 0x3F000000u));
  }
  const std::uint32_t rounded = magnitude + 0xFFFu + ((magnitude >> 13) & 1u);
  return static_cast<std::uint16_t>(sign |
                                    ((rounded - 0x38000000u) >> 13));  // 65520 and above become infinity
}

}  // namespace mxfp4
