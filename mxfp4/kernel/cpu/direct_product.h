// Up to a few tokens: products straight from the packed weights.
#pragma once

#include <cstddef>

#include "mxfp4/kernel/cpu/block_product.h"
#include "mxfp4/kernel/cpu/packed.h"
#include "mxfp4/kernel/cpu/prefetch.h"
#include "mxfp4/kernel/linear_ops.h"

namespace mxfp4::kernel {
namespace {

template <class I>
struct PackedWeights {
  const std::byte* from;  ///< a block's
  typename I::Codes codes[I::kVectors];

  /// Step by step.
  [[gnu::always_inline]] typename I::Weights at(int r, int k) noexcept {
    if (k % 2 != 0) return I::template weights<true>(codes[r]);
    codes[r] = I::codes(from + k / 2 * 64 + static_cast<std::size_t>(r) * kLaneBytes<I>);
    keep<I>(codes[r]);
    return I::template weights<false>(codes[r]);
  }
};

/// The sums of a group's 16 rows and T tokens: sums[t][row].
template <class I, int kDigits, int T, Prefetch kPrefetch>
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
    ask_for_line<kPrefetch>(group + kAhead);
    for (std::size_t b = 0; b < width; ++b, codes += kBlockCodes) {
      for (std::size_t line = 0; line < kBlockCodes; line += 64)
        ask_for_line<kPrefetch>(codes + kAhead + line);
      typename I::Ints exponents[R];
      for (int r = 0; r < R; ++r) exponents[r] = I::exponents(group + b * kGroupRows + r * I::kLanes);
      add_block<I, kDigits, R, T>(PackedWeights<I>{codes, {}}, exponents, records, sum);
      if constexpr (T == 1) ask_for_line<Prefetch::near>(records[0] + kRecordAhead);
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
