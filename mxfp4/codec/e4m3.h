// E4M3, the 8-bit float of FP8 and of NVFP4's block scales (OCP 8-bit Floating Point Specification, section
// 5).
#pragma once

#include <cstdint>

#include "mxfp4/codec/bits.h"
#include "mxfp4/codec/macros.h"

namespace mxfp4 {

/// Exponents of the powers of two that E4M3 has; those below -6 are subnormal.
inline constexpr int kE4m3LeastPower = -9, kE4m3LargestPower = 8;

/// Value of a byte: sign, 4 bits of exponent (bias 7), 3 of mantissa; no infinity, NaN where all are ones.
MXFP4_CODEC float e4m3_value(std::uint8_t byte) noexcept {
  const int exponent = byte >> 3 & 15, mantissa = byte & 7;
  const std::uint32_t sign = static_cast<std::uint32_t>(byte & 0x80) << 24;
  if (exponent == 15 && mantissa == 7) return bit_cast<float>(sign | 0x7FC00000u);
  const int steps = exponent == 0 ? mantissa : (mantissa + 8) << (exponent - 1);  // of 2^-9
  return bit_cast<float>(sign | f32_bits(static_cast<float>(steps) * 0x1p-9f));
}

/// The byte of 2^exponent, kE4m3LeastPower <= exponent <= kE4m3LargestPower.
MXFP4_CODEC std::uint8_t e4m3_power(int exponent) noexcept {
  return static_cast<std::uint8_t>(exponent >= -6 ? (exponent + 7) << 3 : 1 << (exponent + 9));
}

/// The byte of the E2M1 code times 2^shift, or -1 if E4M3 does not hold that.
MXFP4_CODEC int e4m3_of_e2m1(std::uint8_t code, int shift) noexcept {
  constexpr int kHalves[8] = {0, 1, 2, 3, 4, 6, 8, 12};
  const int halves = kHalves[code & 7], sign = (code & 8) << 4;
  if (halves == 0) return sign;
  // In steps of 2^-9, of which 448 is the largest value: 7 * 2^15.
  const int up = shift + 8;
  if (up > 17 || up < -3 || (up < 0 && halves % (1 << -up) != 0)) return -1;
  const int steps = up < 0 ? halves >> -up : halves << up;
  if (steps > 7 << 15) return -1;
  if (steps < 8) return sign | steps;
  int exponent = 1;
  while (steps >> (exponent - 1) >= 16) ++exponent;
  return sign | exponent << 3 | (steps >> (exponent - 1) & 7);  // two significant bits: nothing is lost
}

}  // namespace mxfp4
