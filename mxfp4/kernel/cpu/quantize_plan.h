// A recipe as the numbers that the vector code takes.
//
// The code of an element follows from where its magnitude lies among the seven midpoints between E2M1 values:
// in units of the scale 0.25 0.75 1.25 1.75 2.5 3.5 5, each of them 2^k * (1 + q / 4). Cut the upper 16 bits
// of an f32, which are a bf16, into steps of 32 = 2^k / 4, and every midpoint is the first number of a step:
//
//   step = (upper 16 bits of |x| + bump - origin) >> 5,  origin = bits of scale / 4, less 31; nothing is
//   below 0.
//
// Without a bump, step n + 1 holds what lies above scale / 4 by n steps, but not just there: a tie goes down.
// An element whose lower 16 bits are not all 0 is larger than its upper bits say; a bump of 1 moves it over
// the tie and changes nothing elsewhere. The same bump lets a tie go up: to even, those at 0.75, 1.75 and 3.5
// do, which are just the midpoints with bit 6 set. Away from zero all do, and the origin is 1 less instead.
#pragma once

#include <cstdint>

#include "mxfp4/codec/block.h"

namespace mxfp4::kernel {
namespace {

constexpr int kSteps = 32;  ///< 18 are below 5; the last are for scales that saturate

struct QuantizePlan {
  std::uint32_t offset, bias;  ///< byte = ((bits of the block's maximum + offset) >> 23) - bias
  bool optimal;
  std::uint32_t bump;         ///< an element with one of these bits is bumped
  std::uint32_t below;        ///< how far the origin lies below the first midpoint
  std::uint8_t code[kSteps];  ///< of a step; bit 3 says that a negative element sets it

  // What makes a block odd, besides a maximum that is below `least`, or not below `most`:
  std::uint32_t least, most;
  std::uint32_t window, width;    ///< a maximum whose mantissa is one of `width` from `window` on
  std::uint32_t zero_mask, zero;  ///< an element of which these bits are these; none if zero_mask is 0
};

/// Blocks whose maximum lies between these bounds (2^-111 and 2^127) are ordinary: nothing below is subnormal
/// in a way that matters, and nothing overflows.
constexpr std::uint32_t kLeastOrdinary = 16u << 23, kMostOrdinary = 254u << 23;

/// Where an origin may stray from its rule. A logarithm rounded to f32 lands on an integer up to 88 floats
/// below the power of two, a quotient by 6 rounds by one more; half floats become subnormal below 2^-14 and
/// infinite at 2^16.
inline void mark_oddities(const Recipe& recipe, bool half, QuantizePlan& plan) noexcept {
  constexpr std::uint32_t kNear = 256, kSix = 0x400000;  // the mantissa of 6
  const Origin origin = origin_of(recipe);
  if (origin == Origin::none) return;
  const bool by_six = origin == Origin::torchao_rceil || origin == Origin::modelopt ||
                      origin == Origin::mistralrs || origin == Origin::mlx;
  plan.width = 2 * kNear;
  plan.window = (by_six ? kSix : 0u) - kNear;
  if (origin == Origin::qwantize_naive || origin == Origin::qwantize_optimal) {
    plan.least = (127u - 99) << 23;  // it knows no maximum below 10^-30
  }
  if (origin == Origin::qwantize_optimal) {  // above 7 the next scale may win; below, its grid is a subset
    plan.window = 0x600000;
    plan.width = 0x200000 + kNear;
  }
  if (half) {
    plan.least = (127u - 11) << 23;
    plan.most = (127u + 15) << 23;
  }
}

inline QuantizePlan plan_of(const Recipe& recipe, bool half) noexcept {
  constexpr std::uint8_t kGrows[7] = {1, 7, 10, 12, 14, 16, 18};
  QuantizePlan plan = {};
  plan.offset = info(recipe.scale).offset;
  plan.bias = static_cast<std::uint32_t>(info(recipe.scale).bias);
  plan.optimal = recipe.scale == ScaleRule::optimal;
  plan.bump = recipe.ties == Ties::even ? 0x0040FFFFu : recipe.ties == Ties::zero ? 0x0000FFFFu : 0u;
  plan.below = recipe.ties == Ties::away ? 32 : 31;
  for (int step = 0; step < kSteps; ++step) {
    plan.code[step] = step == 0 && recipe.zeros == Zeros::never ? 0 : kE2m1Sign;
    for (const std::uint8_t grows : kGrows)
      plan.code[step] = static_cast<std::uint8_t>(plan.code[step] + (step >= grows));
  }
  plan.least = kLeastOrdinary;
  plan.most = kMostOrdinary;
  if (recipe.zeros == Zeros::exact) plan.zero_mask = 0xFFFFFFFFu, plan.zero = 0x80000000u;
  if (recipe.zeros == Zeros::all) plan.zero_mask = 0x7FFFFFFFu;
  mark_oddities(recipe, half, plan);
  return plan;
}

// Whether another scale is better than s0, that of `floor`, in integers.
//
// Let a and b be the roundings of v = |x| / s0 under s0 and the other scale. The squared errors differ by the
// sum of 2 (b - a) (v - (a + b) / 2), which is linear in x, and a and b follow from the step that v lies in.
// (At a tie either rounding has the same error.) With gain = 2^10 (b - a), middle = 2^13 (a + b) and v in
// units of 2^-14, a term is gain * (v - middle): 16-bit integers, since |v - middle| <= 2^14 wherever the
// gain is not 0. It is exact for bf16 and f16, because the gain is 0 for v < 1/8. Of an f32, v is rounded,
// and the sum of 32 terms is off by at most 32 * 2^11 / 2 = kUndecided. No sum exceeds 32 * 2^11 * 2^14 =
// 2^30.
constexpr int kUndecided = 1 << 15;

struct ExcessTable {
  std::int16_t gain[kSteps], middle[kSteps];
};

/// By step from s0 / 8 on: step n + 1 begins n steps above it, step 0 is all below.
constexpr ExcessTable excess_table(double ratio) noexcept {
  ExcessTable table = {};
  for (int step = 1; step < 26; ++step) {
    const int n = step - 1;
    const double v = power_of_two(n / 4 - 3) * (1.0 + (n % 4 + 0.5) / 4.0);  // inside the step
    const double a = kE2m1Magnitudes[e2m1_encode_magnitude(v, Ties::even)];
    const double b = kE2m1Magnitudes[e2m1_encode_magnitude(v / ratio, Ties::even)] * ratio;
    table.gain[step] = static_cast<std::int16_t>((b - a) * 1024);
    if (a != b) table.middle[step] = static_cast<std::int16_t>(static_cast<int>((a + b) * 8192) & 0xFFFF);
  }
  return table;
}

/// For s0 / 2 and for 2 * s0.
alignas(64) constexpr ExcessTable kExcess[2] = {excess_table(0.5), excess_table(2.0)};

/// Gains are multiples of 2^8, and so are middles that matter: their upper bytes are all of them.
struct ExcessBytes {
  std::uint8_t gain[kSteps], middle[kSteps];
};

constexpr ExcessBytes upper_bytes(const ExcessTable& table) noexcept {
  ExcessBytes bytes = {};
  for (int step = 0; step < kSteps; ++step) {
    bytes.gain[step] = static_cast<std::uint8_t>(static_cast<std::uint16_t>(table.gain[step]) >> 8);
    bytes.middle[step] = static_cast<std::uint8_t>(static_cast<std::uint16_t>(table.middle[step]) >> 8);
  }
  return bytes;
}

constexpr ExcessBytes kExcessBytes[2] = {upper_bytes(kExcess[0]), upper_bytes(kExcess[1])};

}  // namespace
}  // namespace mxfp4::kernel
