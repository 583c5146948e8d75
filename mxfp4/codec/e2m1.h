// E2M1, the 4-bit element of MXFP4 (OCP Microscaling Formats v1.0, section 5.3.3).
#pragma once

#include <cstdint>

#include "mxfp4/codec/macros.h"

namespace mxfp4 {

/// What a quotient halfway between two codes becomes.
enum class Ties : std::uint8_t {
  even,  ///< the code whose last bit is 0 (IEEE 754 roundTiesToEven)
  zero,  ///< the smaller magnitude
  away,  ///< the larger magnitude
};

/// Magnitudes of the codes 0..7; bit 3 of a code is the sign.
inline constexpr float kE2m1Magnitudes[8] = {0.0f, 0.5f, 1.0f, 1.5f, 2.0f, 3.0f, 4.0f, 6.0f};

/// kE2m1Midpoints[c] lies halfway between the magnitudes of c and c + 1.
inline constexpr float kE2m1Midpoints[7] = {0.25f, 0.75f, 1.25f, 1.75f, 2.5f, 3.5f, 5.0f};

inline constexpr float kE2m1Max = 6.0f;
inline constexpr std::uint8_t kE2m1Sign = 8;
inline constexpr std::uint8_t kE2m1Nan = 7;  ///< what every element of a NaN block is written as

/// Value of a code 0..15; code 8 is -0.
MXFP4_CODEC float e2m1_value(std::uint8_t code) noexcept {
  const float magnitude = kE2m1Magnitudes[code & 7];
  return code & kE2m1Sign ? -magnitude : magnitude;
}

/// Whether a tie at kE2m1Midpoints[lower] goes up to the magnitude code lower + 1.
MXFP4_CODEC bool e2m1_tie_goes_up(int lower, Ties ties) noexcept {
  return ties == Ties::away || (ties == Ties::even && (lower & 1) != 0);
}

/// Code 0..7 of a magnitude v >= 0, to nearest; above 6 it saturates.
MXFP4_CODEC std::uint8_t e2m1_encode_magnitude(double v, Ties ties) noexcept {
  int code = 0;
  for (int c = 0; c < 7; ++c) {
    const double midpoint = kE2m1Midpoints[c];
    code += v > midpoint || (v == midpoint && e2m1_tie_goes_up(c, ties));
  }
  return static_cast<std::uint8_t>(code);
}

}  // namespace mxfp4
