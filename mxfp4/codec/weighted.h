// The best scale of a block whose elements do not matter equally.
#pragma once

#include <cstdint>

#include "mxfp4/codec/block.h"

namespace mxfp4 {

/// Sum of w * max(0, |x| - 6 * scale of byte)^2, in units of the square of base's scale: what is cut off is
/// lost under every smaller scale, too.
MXFP4_CODEC double weighted_clipping(const float* x, const float* w, int n, std::uint8_t base,
                                     std::uint8_t byte) noexcept {
  const double to_base = power_of_two(kE8m0Bias - base);
  const double limit = static_cast<double>(kE2m1Max) * power_of_two(byte - base);
  double sum = 0.0;
  for (int i = 0; i < n; ++i) {
    if (!is_finite(x[i])) continue;
    const double over = static_cast<double>(magnitude(x[i])) * to_base - limit;
    if (over > 0.0) sum += over * over * static_cast<double>(w[i]);
  }
  return sum;
}

/// Weighted squared error under `base` itself, in those units.
MXFP4_CODEC double weighted_error(const float* x, const float* w, int n, std::uint8_t base) noexcept {
  const double to_base = power_of_two(kE8m0Bias - base);
  double sum = 0.0;
  for (int i = 0; i < n; ++i) {
    if (!is_finite(x[i])) continue;
    const double v = static_cast<double>(magnitude(x[i])) * to_base;
    const double error = v - static_cast<double>(kE2m1Magnitudes[e2m1_encode_magnitude(v, Ties::even)]);
    sum += error * error * static_cast<double>(w[i]);
  }
  return sum;
}

/// The scale byte of least weighted squared error for x[0, n): that of s0, the scale of `floor`, unless
/// another is strictly better. 2 * s0 can be so under the same condition as without weights. Below s0 no list
/// of candidates is enough ({4, 31 times 2^-6} with weights {0, 31 times 1} wants s0 / 32), so all are tried
/// until what they cut off alone costs as much as the best so far.
MXFP4_CODEC std::uint8_t weighted_byte(const float* x, const float* w, int n) noexcept {
  const float amax = finite_amax(x, n);
  const std::uint8_t base = scale_byte(ScaleRule::optimal, amax);
  std::uint8_t best = base;
  double least = 0.0;
  if (static_cast<double>(amax) * power_of_two(kE8m0Bias - base) > static_cast<double>(kOptimalUp)) {
    const std::uint8_t up = static_cast<std::uint8_t>(base + 1);
    const double excess = excess_error(x, n, base, up, w);
    if (excess < least) {
      least = excess;
      best = up;
    }
  }
  const double base_error = weighted_error(x, w, n, base);
  for (int byte = base - 1; byte >= 0; --byte) {
    const std::uint8_t down = static_cast<std::uint8_t>(byte);
    if (!(weighted_clipping(x, w, n, base, down) < base_error + least)) break;
    const double excess = excess_error(x, n, base, down, w);
    if (excess < least) {
      least = excess;
      best = down;
    }
  }
  return best;
}

}  // namespace mxfp4
