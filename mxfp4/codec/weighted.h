// The best scale of a block whose elements do not matter equally.
#pragma once

#include <cstdint>

#include "mxfp4/codec/block.h"

namespace mxfp4 {

/// Sum of w * (x - dequantised)^2 over x[0, n) under `byte`, less that under `base`, in units of the square
/// of base's scale; the non-finite are left out. Sums of products with weights are rounded, so they are added
/// in the order of the elements, everywhere. w is finite and not negative.
MXFP4_CODEC double weighted_excess(const float* x, const float* w, int n, std::uint8_t base,
                                   std::uint8_t byte) noexcept {
  const double to_base = power_of_two(kE8m0Bias - base);
  const double ratio = power_of_two(byte - base);
  const double from_byte = power_of_two(base - byte);
  double sum = 0.0;
  for (int i = 0; i < n; ++i) {
    if (!is_finite(x[i])) continue;
    const double v = static_cast<double>(magnitude(x[i])) * to_base;
    const double q0 = kE2m1Magnitudes[e2m1_encode_magnitude(v, Ties::even)];
    const double q = kE2m1Magnitudes[e2m1_encode_magnitude(v * from_byte, Ties::even)] * ratio;
    sum += (q0 - q) * (2.0 * v - q0 - q) * static_cast<double>(w[i]);
  }
  return sum;
}

/// Sum of w * max(0, |x| - 6 * scale of byte)^2, in the same units: what is cut off is lost under every
/// smaller scale, too.
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

/// Weighted squared error under `base` itself.
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
    const double excess = weighted_excess(x, w, n, base, up);
    if (excess < least) {
      least = excess;
      best = up;
    }
  }
  const double base_error = weighted_error(x, w, n, base);
  for (int byte = base - 1; byte >= 0; --byte) {
    const std::uint8_t down = static_cast<std::uint8_t>(byte);
    if (!(weighted_clipping(x, w, n, base, down) < base_error + least)) break;
    const double excess = weighted_excess(x, w, n, base, down);
    if (excess < least) {
      least = excess;
      best = down;
    }
  }
  return best;
}

/// `reference` if the weighted squared error is no larger under it than under `own`, the byte that
/// weighted_byte() gave; else `own`. Neither NaN byte is exchanged for the other.
MXFP4_CODEC std::uint8_t weighted_kept_byte(const float* x, const float* w, int n, std::uint8_t own,
                                            std::uint8_t reference) noexcept {
  if (own == reference || own == kE8m0Nan || reference == kE8m0Nan) return own;
  return weighted_excess(x, w, n, own, reference) <= 0.0 ? reference : own;
}

}  // namespace mxfp4
