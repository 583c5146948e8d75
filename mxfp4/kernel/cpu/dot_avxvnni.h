// The primitives of a product in AVX-VNNI: those of AVX2, with a dot product of four bytes a lane.
#pragma once

#include "mxfp4/kernel/cpu/dot_avx2.h"

namespace mxfp4::kernel {
namespace {

struct AvxVnniDot : Avx2Dot {
  static constexpr int kTileTokens[] = {3, 2, 1, 3};
  static constexpr int kDirectTokens[] = {2, 1, 1};
  static constexpr std::size_t kMostDirect = 4;

  // Weights are 0..24 here as well: a sum of 32 starts from -12 * sum x.
  static std::int32_t offset(const Ints8& sums) noexcept { return -12 * sum_of(sums); }
  static void add(Sum& sum, Weights w, Quad x) noexcept { sum = _mm256_dpbusd_avx_epi32(sum, w, x); }
  static Ints total(Sum sum) noexcept { return sum; }
};

}  // namespace
}  // namespace mxfp4::kernel
