// Up to a few tokens: products straight from the packed weights.
#pragma once

#include <cstddef>
#include <utility>

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

/// The products of W blocks, R vectors of rows and T tokens, on the way.
template <class I, int W, int T>
using BlockProducts = typename I::Floats[W][I::kVectors][T];

/// Adds nibble i of the four bytes of vector j.
template <class I, int i, int W, int T>
[[gnu::always_inline]] inline void add_nibble(const std::byte* codes, const std::byte* const* records, int j,
                                              BlockProducts<I, W, T>& p) noexcept {
#pragma GCC unroll 4
  for (std::size_t w = 0; w < W; ++w) {
#pragma GCC unroll 4
    for (std::size_t r = 0; r < I::kVectors; ++r) {
      const typename I::Floats value = I::template values<i>(codes + w * kBlockCodes + r * kLaneBytes<I>);
#pragma GCC unroll 4
      for (int t = 0; t < T; ++t) {
        const std::byte* const x = records[t] + w * block_record_bytes(TokenFormat::floats);
        p[w][r][t] = I::fma(value, I::broadcast(x + 4 * float_place(i, j)), p[w][r][t]);
      }
    }
  }
}
template <class I, int W, int T, int... i>
[[gnu::always_inline]] inline void add_vector(const std::byte* codes, const std::byte* const* records, int j,
                                              BlockProducts<I, W, T>& p,
                                              std::integer_sequence<int, i...>) noexcept {
  (add_nibble<I, i, W, T>(codes, records, j, p), ...);
}

/// Adds W blocks of floats, side by side so that their chains of additions do not wait for each other.
template <class I, int W, int T>
[[gnu::always_inline]] inline void add_direct_floats(const std::byte* exponents, const std::byte* codes,
                                                     const std::byte* const* records,
                                                     typename I::Floats (&sums)[I::kVectors][T]) noexcept {
  BlockProducts<I, W, T> p;
#pragma GCC unroll 4
  for (auto& block : p) {
#pragma GCC unroll 4
    for (auto& row : block) {
#pragma GCC unroll 4
      for (auto& lane : row) lane = I::zero();
    }
  }
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {
    add_vector<I, W, T>(codes + 64 * j, records, j, p, std::make_integer_sequence<int, 8>{});
  }
#pragma GCC unroll 4
  for (std::size_t w = 0; w < W; ++w) {
#pragma GCC unroll 4
    for (std::size_t r = 0; r < I::kVectors; ++r) {
      const typename I::Floats scales =
          I::scaled(one<I>(), I::exponents(exponents + w * kGroupRows + r * I::kLanes));
#pragma GCC unroll 4
      for (int t = 0; t < T; ++t) sums[r][t] = I::fma(p[w][r][t], scales, sums[r][t]);
    }
  }
}

/// direct_group() for tokens of floats.
template <class I, int T, Prefetch kPrefetch>
[[gnu::noinline]] void direct_float_group(const std::byte* group, std::size_t blocks,
                                          const std::byte* const* tokens, float* sums) noexcept {
  constexpr int R = I::kVectors, W = R < 4 ? 4 / R : 1;
  constexpr std::size_t kRecord = block_record_bytes(TokenFormat::floats);
  typename I::Floats sum[R][T];
  for (auto& vector : sum) {
    for (auto& lane : vector) lane = I::zero();
  }
  const std::byte* records[T];
  for (int t = 0; t < T; ++t) records[t] = tokens[t];
  for (std::size_t first = 0; first < blocks; first += kChunkBlocks) {
    const std::size_t width = smaller(kChunkBlocks, blocks - first);
    const std::byte* codes = group + width * kGroupRows;
    for (std::size_t line = 0; line < kChunkBytes; line += 64) ask_for_line<kPrefetch>(group + kAhead + line);
    for (std::size_t b = 0, n = 0; b < width; b += n, codes += n * kBlockCodes) {
      n = width - b < W ? 1 : W;
      const std::byte* const exponents = group + b * kGroupRows;
      n == W ? add_direct_floats<I, W, T>(exponents, codes, records, sum)
             : add_direct_floats<I, 1, T>(exponents, codes, records, sum);
      for (int t = 0; t < T; ++t) records[t] += n * kRecord;
    }
    group += width * kPackedBlock;
  }
  for (int t = 0; t < T; ++t) {
    for (int r = 0; r < R; ++r) I::store(sums + t * kGroupRows + r * I::kLanes, sum[r][t]);
  }
}

}  // namespace
}  // namespace mxfp4::kernel
