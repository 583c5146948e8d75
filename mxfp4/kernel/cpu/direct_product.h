// Up to a few tokens: products straight from the packed weights.
#pragma once

#include <cstddef>

#include "mxfp4/kernel/cpu/block_product.h"
#include "mxfp4/kernel/cpu/packed.h"
#include "mxfp4/kernel/linear_ops.h"

namespace mxfp4::kernel {
namespace {

template <class I>
struct PackedWeights {
  const std::byte* codes;  ///< of a block
  [[gnu::always_inline]] typename I::Weights at(int r, int k) const noexcept {
    const std::byte* const from = codes + k / 2 * 64 + static_cast<std::size_t>(r) * kLaneBytes<I>;
    return k % 2 == 0 ? I::template weights<false>(from) : I::template weights<true>(from);
  }
};

/// How far ahead the weights are asked for, while they are used: without that, arithmetic and waiting take
/// turns.
constexpr std::size_t kAhead = 8 << 10;

/// The sums of a group's 16 rows and T tokens: sums[t][row].
template <class I, int kDigits, int T>
[[gnu::noinline]] void direct_group(const std::byte* group, std::size_t blocks,
                                    const std::byte* const* tokens, float* sums) noexcept {
  constexpr std::size_t kStride = 36 * kDigits + 4;
  constexpr int R = I::kVectors;
  typename I::Floats sum[R][T];
  for (auto& vector : sum) {
    for (auto& lane : vector) lane = I::zero();
  }
  const std::byte* records[T];
  for (int t = 0; t < T; ++t) records[t] = tokens[t];
  for (std::size_t first = 0; first < blocks; first += kChunkBlocks) {
    const std::size_t width = smaller(kChunkBlocks, blocks - first);
    const std::byte* codes = group + width * kGroupRows;
    __builtin_prefetch(group + kAhead);
    for (std::size_t b = 0; b < width; ++b, codes += kBlockCodes) {
      for (std::size_t line = 0; line < kBlockCodes; line += 64) __builtin_prefetch(codes + kAhead + line);
      typename I::Floats scales[R];
      for (int r = 0; r < R; ++r) scales[r] = I::scales(group + b * kGroupRows + r * I::kLanes);
      add_block<I, kDigits, R, T>(PackedWeights<I>{codes}, scales, records, sum);
      for (int t = 0; t < T; ++t) records[t] += kStride;
    }
    group += width * kPackedBlock;
  }
  for (int t = 0; t < T; ++t) {
    for (int r = 0; r < R; ++r) I::store(sums + t * kGroupRows + r * I::kLanes, sum[r][t]);
  }
}

}  // namespace
}  // namespace mxfp4::kernel
