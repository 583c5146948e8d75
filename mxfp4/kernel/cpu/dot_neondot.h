// The primitives of a product in NEON with its dot product: sdot adds four products to a lane.
#pragma once

#include "mxfp4/kernel/cpu/dot_neon.h"

namespace mxfp4::kernel {
namespace {

struct NeonDotProduct : NeonProduct {
  // As many as 32 registers hold, next to four vectors of weights: counted in the compiled code, not timed.
  static constexpr int kTileTokens[] = {3, 2, 1, 3};
  static constexpr int kDirectTokens[] = {2, 2, 1};

  using Sum = int32x4_t;
  static Sum start(const std::byte*) noexcept { return vdupq_n_s32(0); }
  static void add(Sum& sum, Weights w, Quad x) noexcept { sum = vdotq_s32(sum, w, x); }
  static Ints total(Sum sum) noexcept { return sum; }
};

}  // namespace
}  // namespace mxfp4::kernel
