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
};

inline QuantizePlan plan_of(const Recipe& recipe) noexcept {
  constexpr std::uint8_t kGrows[7] = {1, 7, 10, 12, 14, 16, 18};
  QuantizePlan plan = {};
  plan.offset = info(recipe.scale).offset;
  plan.bias = static_cast<std::uint32_t>(info(recipe.scale).bias);
  plan.optimal = recipe.scale == ScaleRule::optimal;
  plan.bump = recipe.ties == Ties::even ? 0x0040FFFFu : recipe.ties == Ties::zero ? 0x0000FFFFu : 0u;
  plan.below = recipe.ties == Ties::away ? 32 : 31;
  for (int step = 0; step < kSteps; ++step) {
    plan.code[step] = kE2m1Sign;
    for (const std::uint8_t grows : kGrows)
      plan.code[step] = static_cast<std::uint8_t>(plan.code[step] + (step >= grows));
  }
  return plan;
}

// Blocks whose maximum lies between these bounds (2^-111 and 2^127) are ordinary: nothing below is subnormal
// in a way that matters, and nothing overflows.
constexpr std::uint32_t kLeastOrdinary = 16u << 23, kMostOrdinary = 254u << 23;

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

}  // namespace
}  // namespace mxfp4::kernel
