// One block, the scalar truth that every kernel reproduces: elements to a scale byte and codes.
#pragma once

#include <cstdint>

#include "mxfp4/codec/bits.h"
#include "mxfp4/codec/e2m1.h"
#include "mxfp4/codec/e8m0.h"
#include "mxfp4/codec/macros.h"
#include "mxfp4/codec/scale_rule.h"

namespace mxfp4 {

/// What NaN and infinity in the input become.
enum class NonFinite : std::uint8_t {
  error,      ///< refused, with their position
  nan_block,  ///< their block gets scale byte 255 and codes 7, the completion of a short block included
  saturate,   ///< NaN becomes 0, infinity +-6, under the scale of the block's finite elements
  origin,     ///< as the recipe's origin writes it; refused where there is none, or it does not say
};

/// What becomes of elements that round to zero.
enum class Zeros : std::uint8_t {
  kept,   ///< they keep their sign: code 8 is written
  never,  ///< all are code 0
  exact,  ///< -0 is code 0, other small negatives are code 8
  all,    ///< 0 and -0 are code 8, others keep their sign
};

/// The program whose bytes a recipe reproduces where they are not what the scale rule says: next to powers of
/// two, subnormal, near overflow. kernel/cpu/origin_block.cpp says what each does.
enum class Origin : std::uint8_t {
  none,
  ggml,
  torchao,
  torchao_rceil,
  compressed_tensors,
  modelopt,
  quark,
  mistralrs,
  mlx,
  microxcaling,
  qwantize_naive,
  qwantize_optimal,
};

/// How to quantise; data that every kernel takes.
struct Recipe {
  ScaleRule scale = ScaleRule::optimal;
  Ties ties = Ties::even;
  NonFinite nonfinite = NonFinite::error;
  Zeros zeros = Zeros::kept;
  Origin origin = Origin::none;
  bool through_bf16 = false;  ///< elements are rounded to bf16 first
};

/// The rule that an origin's scales follow outside their oddities. Under another rule a recipe's origin is
/// forgotten.
MXFP4_CODEC ScaleRule rule_of(Origin origin, ScaleRule otherwise) noexcept {
  switch (origin) {
    case Origin::none:
    case Origin::torchao:  // several
      return otherwise;
    case Origin::ggml:
    case Origin::microxcaling:
    case Origin::qwantize_naive:
    case Origin::qwantize_optimal:
      return ScaleRule::floor;
    case Origin::compressed_tensors:
    case Origin::quark:
      return ScaleRule::even;
    case Origin::torchao_rceil:
    case Origin::modelopt:
    case Origin::mlx:
      return ScaleRule::rceil;
    case Origin::mistralrs:
      return ScaleRule::floor6;
  }
  return otherwise;
}

MXFP4_CODEC Origin origin_of(const Recipe& recipe) noexcept {
  const bool known =
      recipe.scale != ScaleRule::optimal && rule_of(recipe.origin, recipe.scale) == recipe.scale;
  return known ? recipe.origin : Origin::none;
}

/// Whether a block with this element is refused.
MXFP4_CODEC bool refuses(const Recipe& recipe, float x) noexcept {
  if (is_finite(x) || recipe.nonfinite == NonFinite::nan_block || recipe.nonfinite == NonFinite::saturate)
    return false;
  if (recipe.nonfinite == NonFinite::error) return true;
  switch (origin_of(recipe)) {
    case Origin::torchao:
    case Origin::torchao_rceil:
    case Origin::mistralrs:
      return false;
    case Origin::compressed_tensors:
    case Origin::quark:
      return is_nan(x);
    default:
      return true;
  }
}

/// Largest magnitude among the finite elements of x[0, n).
MXFP4_CODEC float finite_amax(const float* x, int n) noexcept {
  float amax = 0.0f;
  for (int i = 0; i < n; ++i) {
    if (is_finite(x[i]) && magnitude(x[i]) > amax) amax = magnitude(x[i]);
  }
  return amax;
}

/// Code 0..15 of x under a scale byte 0..254. NaN becomes 0. A value that rounds to zero keeps its sign.
MXFP4_CODEC std::uint8_t encode(float x, std::uint8_t byte, Ties ties) noexcept {
  if (is_nan(x)) return 0;
  const double quotient = static_cast<double>(magnitude(x)) * power_of_two(kE8m0Bias - byte);  // exact
  const std::uint8_t code = e2m1_encode_magnitude(quotient, ties);
  return sign_bit(x) ? static_cast<std::uint8_t>(code | kE2m1Sign) : code;
}

/// Value of a code under a scale byte: exact, infinite where it exceeds f32, NaN under byte 255.
MXFP4_CODEC float decode(std::uint8_t code, std::uint8_t byte) noexcept {
  return e2m1_value(code) * e8m0_value(byte);
}

/// Squared error of x[0, n) under `byte` minus that under `base`, in units of the square of base's scale; the
/// non-finite are left out, and with weights w (finite, not negative) each element's part is multiplied by
/// its own. With q0 and q the two roundings of v = |x| / base scale, a term is (q0 - q) * (2v - q0 - q), in
/// which nothing cancels. It is 0 where v is less than a quarter of either scale.
///
/// If the largest v is below 12, as under every rule's own byte, and byte >= base - 7, a double holds the sum
/// exactly in any order: with the finer of the two scales 2^-d, d <= 7, as the unit, terms are multiples of
/// 2^-25 and the sum of their magnitudes stays below 32 * 12^2 * 2^2d < 2^27. (For byte = base +- 1 the same
/// holds with bits to spare.) With weights it is rounded, and so added in the order of the elements,
/// everywhere.
MXFP4_CODEC double excess_error(const float* x, int n, std::uint8_t base, std::uint8_t byte,
                                const float* w = nullptr) noexcept {
  const double to_base = power_of_two(kE8m0Bias - base);
  const double ratio = power_of_two(byte - base);
  const double from_byte = power_of_two(base - byte);
  double sum = 0.0;
  for (int i = 0; i < n; ++i) {
    if (!is_finite(x[i])) continue;
    const double v = static_cast<double>(magnitude(x[i])) * to_base;
    const double q0 = kE2m1Magnitudes[e2m1_encode_magnitude(v, Ties::even)];
    const double q = kE2m1Magnitudes[e2m1_encode_magnitude(v * from_byte, Ties::even)] * ratio;
    sum += (q0 - q) * (2.0 * v - q0 - q) * (w == nullptr ? 1.0 : static_cast<double>(w[i]));
  }
  return sum;
}

/// Bounds of amax / s0, s0 the scale of `floor`, beyond which another scale may have the lower error. 2 * s0
/// needs amax > 7 * s0: up to there each value that it rounds to lies in the grid of s0, too. (And up to 8 *
/// s0 each value that 4 * s0 rounds to lies in the grid of 2 * s0.) s0 / 2 needs amax < 4.46875 * s0 and more
/// than 16 other elements: the maximum loses at least s0^2, each of the others gains at most s0^2 / 16.
inline constexpr float kOptimalUp = 7.0f;
inline constexpr float kOptimalDown = 4.46875f;
inline constexpr int kOptimalDownElements = 18;

/// The scale byte of least squared error for x[0, n), n <= 32: that of s0, unless another is strictly better.
MXFP4_CODEC std::uint8_t optimal_byte(const float* x, int n) noexcept {
  const float amax = finite_amax(x, n);
  const std::uint8_t base = scale_byte(ScaleRule::optimal, amax);
  const double quotient = static_cast<double>(amax) * power_of_two(kE8m0Bias - base);
  const std::uint8_t up = static_cast<std::uint8_t>(base + 1);
  const std::uint8_t down = static_cast<std::uint8_t>(base - 1);
  if (quotient > kOptimalUp) return excess_error(x, n, base, up) < 0.0 ? up : base;
  if (base > 0 && n >= kOptimalDownElements && quotient < kOptimalDown) {
    return excess_error(x, n, base, down) < 0.0 ? down : base;
  }
  return base;
}

/// Scale byte that a recipe gives a block, from its finite elements; 255 if one is not finite and that makes
/// a NaN block.
MXFP4_CODEC std::uint8_t block_byte(const float* x, int n, const Recipe& recipe) noexcept {
  if (recipe.nonfinite == NonFinite::nan_block) {
    for (int i = 0; i < n; ++i) {
      if (!is_finite(x[i])) return kE8m0Nan;
    }
  }
  if (recipe.scale == ScaleRule::optimal) return optimal_byte(x, n);
  return scale_byte(recipe.scale, finite_amax(x, n));
}

/// `reference` if the squared error of the finite elements, weighted or not, is no larger under it than under
/// `own`, the byte that block_byte() gave; else `own`. Neither NaN byte is exchanged for the other. Without
/// weights the sign of the difference is right for every reference: exact down to own - 7, and below that the
/// maximum, which is more than 2 * own's scale, alone loses 3.8 of its squares, the other 31 elements gain at
/// most 1/16 each, and the rounding of the sum is nothing beside that.
MXFP4_CODEC std::uint8_t kept_byte(const float* x, int n, std::uint8_t own, std::uint8_t reference,
                                   const float* w = nullptr) noexcept {
  if (own == reference || own == kE8m0Nan || reference == kE8m0Nan) return own;
  return excess_error(x, n, own, reference, w) <= 0.0 ? reference : own;
}

}  // namespace mxfp4
