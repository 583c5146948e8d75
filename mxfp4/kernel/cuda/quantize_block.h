// One block to a scale byte and codes in f32 arithmetic, in steps that lanes share: each lane scans its
// elements, the scans are merged, each lane adds up its part of the excess error, the sums are merged, each
// lane encodes. On the host the same functions run one lane after the other. No product may be contracted
// with a sum (-fmad=false).
#pragma once

#include <cstdint>

#include "mxfp4/codec/block.h"
#include "mxfp4/codec/float16.h"

namespace mxfp4::kernel::cuda {

/// A recipe without an origin as the numbers that a kernel takes.
struct QuantizeRule {
  std::uint32_t offset;  ///< byte = ((bits of the maximum + offset) >> 23) - bias, not below 0
  int bias;
  bool optimal, rceil;
  bool through_bf16;
  bool plain;  ///< ties to even, zeros keep their sign, what is not finite is refused
  Ties ties;
  NonFinite nonfinite;
  Zeros zeros;
};

inline QuantizeRule quantize_rule(const Recipe& recipe) noexcept {
  const ScaleRuleInfo& scale = info(recipe.scale);
  QuantizeRule rule = {};
  rule.offset = scale.offset;
  rule.bias = scale.bias;
  rule.optimal = recipe.scale == ScaleRule::optimal;
  rule.rceil = recipe.scale == ScaleRule::rceil;
  rule.through_bf16 = recipe.through_bf16;
  rule.ties = recipe.ties;
  rule.nonfinite = recipe.nonfinite == NonFinite::origin ? NonFinite::error : recipe.nonfinite;
  rule.zeros = recipe.zeros;
  rule.plain = rule.ties == Ties::even && rule.zeros == Zeros::kept && rule.nonfinite == NonFinite::error &&
               !rule.through_bf16;
  return rule;
}

/// What a lane has seen of a block.
struct Scan {
  std::uint32_t most = 0;  ///< bits of the largest finite magnitude
  std::uint32_t bad = 0;   ///< 1 if something is not finite
};

MXFP4_CODEC Scan scan(const float* x, int n) noexcept {
  Scan seen;
  for (int i = 0; i < n; ++i) {
    const std::uint32_t bits = magnitude_bits(x[i]);
    if (bits >= kInfinityBits) {
      seen.bad = 1;
    } else if (bits > seen.most) {
      seen.most = bits;
    }
  }
  return seen;
}

MXFP4_CODEC Scan merged(Scan a, Scan b) noexcept {
  return {a.most > b.most ? a.most : b.most, a.bad | b.bad};
}

/// 2^(127 - byte), what a block's elements are multiplied with, for bytes 0..253. The product is exact, or
/// below 2^-126 and rounds to code 0 whatever became of it.
MXFP4_CODEC float to_scale(int byte) noexcept {
  return bit_cast<float>(static_cast<std::uint32_t>(254 - byte) << 23);
}

/// The byte of the closed-form rule; with `optimal` its rival, too: 1 above, 1 below, or none.
struct Choice {
  int byte = 0;
  int rival = 0;  ///< -1, 0 or 1
};

MXFP4_CODEC Choice choose(std::uint32_t most, const QuantizeRule& rule) noexcept {
  Choice choice;
  choice.byte = static_cast<int>((most + rule.offset) >> 23) - rule.bias;
  if (rule.rceil && choice.byte < 1) choice.byte = most > 3 ? 1 : 0;  // codec/scale_rule.h has the reason
  if (choice.byte < 0) choice.byte = 0;
  if (rule.optimal) {
    const float quotient = bit_cast<float>(most) * to_scale(choice.byte);
    if (quotient > kOptimalUp) {
      choice.rival = 1;
    } else if (choice.byte > 0 && quotient < kOptimalDown) {
      choice.rival = -1;
    }
  }
  return choice;
}

/// v >= 0 in units of the scale rounded to E2M1, ties to even, without a comparison: in t = w + c, with w =
/// min(v, 6), the last place of c is the step of the grid where w lies.
MXFP4_CODEC float grid_sum(float v, float& c) noexcept {
  const float w = v < 6.0f ? v : 6.0f;
  const float power = bit_cast<float>(f32_bits(w) & 0x7F800000u) * 0x1.8p22f;
  c = power > 0x1.8p22f ? power : 0x1.8p22f;
  return w + c;
}
MXFP4_CODEC std::uint32_t code_of_sum(float t) noexcept {
  const std::uint32_t bits = f32_bits(t);
  return (bits & 7u) + 2u * ((bits >> 23) - 149u);
}
MXFP4_CODEC std::uint32_t code_even(float v) noexcept {
  float c = 0;
  return code_of_sum(grid_sum(v, c));
}
MXFP4_CODEC float round_even(float v) noexcept {
  float c = 0;
  const float t = grid_sum(v, c);
  return t - c;
}

/// The code of v under the other tie rules: how many midpoints it has passed.
MXFP4_CODEC std::uint32_t code_by_midpoints(float v, bool away) noexcept {
  std::uint32_t code = 0;
  for (int c = 0; c < 7; ++c) {
    // 0.25 0.75 1.25 1.75 2.5 3.5 5, computed: a device has no table of the host's constants
    const float midpoint = c < 4    ? 0.25f + 0.5f * static_cast<float>(c)
                           : c == 4 ? 2.5f
                           : c == 5 ? 3.5f
                                    : 5.0f;
    code += v > midpoint || (away && v == midpoint) ? 1u : 0u;
  }
  return code;
}

/// Error under the rival less that under the choice, squared, in units of the choice's scale: hi + lo. With
/// q0 and q the two roundings of v a term is (q0 - q) * (2v - q0 - q), exact as q0 - q is a power of two and
/// the other factor loses no bits; it is below 4 and a multiple of 2^-28. hi takes its multiple of 2^-14, lo
/// the rest, so that sums of 32 are exact in any order, and hi + lo has the right sign.
struct Excess {
  float hi = 0, lo = 0;
};

MXFP4_CODEC Excess excess(const float* x, int n, Choice choice) noexcept {
  const float factor = to_scale(choice.byte);
  const float to_rival = choice.rival > 0 ? 0.5f : 2.0f;
  const float from_rival = choice.rival > 0 ? 2.0f : 0.5f;
  Excess sum;
  for (int i = 0; i < n; ++i) {
    if (!is_finite(x[i])) continue;
    const float v = magnitude(x[i]) * factor;
    const float q0 = round_even(v);
    const float q = round_even(v * to_rival) * from_rival;
    const float term = (q0 - q) * ((v + v) - (q0 + q));
    const float hi = (term + 768.0f) - 768.0f;
    sum.hi += hi;
    sum.lo += term - hi;
  }
  return sum;
}

MXFP4_CODEC Excess merged(Excess a, Excess b) noexcept {
  return {a.hi + b.hi, a.lo + b.lo};
}

/// The byte at last.
MXFP4_CODEC int decide(Choice choice, Excess sum) noexcept {
  return choice.rival != 0 && sum.hi + sum.lo < 0.0f ? choice.byte + choice.rival : choice.byte;
}

/// Whether the block is NaN as a whole: byte 255, codes 7.
MXFP4_CODEC bool nan_block(Scan seen, const QuantizeRule& rule) noexcept {
  return seen.bad != 0 && rule.nonfinite == NonFinite::nan_block;
}

/// The code of one element under any recipe.
MXFP4_CODEC std::uint32_t code_of(float x, float factor, const QuantizeRule& rule) noexcept {
  if (is_nan(x)) return 0;
  const float v = magnitude(x) * factor;
  const std::uint32_t code =
      rule.ties == Ties::even ? code_even(v) : code_by_midpoints(v, rule.ties == Ties::away);
  const bool zero = magnitude_bits(x) == 0;
  const bool sign = rule.zeros == Zeros::never   ? sign_bit(x) && code != 0
                    : rule.zeros == Zeros::exact ? sign_bit(x) && !zero
                    : rule.zeros == Zeros::all   ? sign_bit(x) || zero
                                                 : sign_bit(x);
  return sign ? code | kE2m1Sign : code;
}

/// Up to 8 codes, the first in the lowest bits. kPlain: rule.plain is true.
template <bool kPlain>
MXFP4_CODEC std::uint32_t codes_of(const float* x, int n, int byte, bool nan,
                                   const QuantizeRule& rule) noexcept {
  const float factor = to_scale(byte);
  std::uint32_t word = 0;
  for (int i = 0; i < n; ++i) {
    std::uint32_t code = 0;
    if (kPlain) {
      code = code_even(magnitude(x[i]) * factor) | (f32_bits(x[i]) >> 31) << 3;
    } else {
      code = nan ? kE2m1Nan : code_of(x[i], factor, rule);
    }
    word |= code << (4 * i);
  }
  return word;
}

}  // namespace mxfp4::kernel::cuda
