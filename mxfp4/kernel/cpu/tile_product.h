// More tokens: a tile of decoded weights for all of them.
#pragma once

#include <cstddef>
#include <cstring>
#include <utility>

#include "mxfp4/kernel/cpu/block_product.h"
#include "mxfp4/kernel/cpu/token_format.h"
#include "mxfp4/kernel/linear_ops.h"

namespace mxfp4::kernel {
namespace {

// Integers: [block][step][vector] (or as I::Matrix has a block), floats: [block][element][vector], with the
// exponents of the vectors' scales behind all of it.
template <class I>
struct Tile {
  static constexpr std::size_t kStepBytes = I::kTileVectors * kLaneBytes<I>;
  static constexpr std::size_t kIntegerBlocks = 16,
                               kFloatBlocks = 4;  ///< at the most, to stay within the L1 cache
  static constexpr std::size_t kCodes =
      (kIntegerBlocks * 8 > kFloatBlocks * 32 ? kIntegerBlocks * 8 : kFloatBlocks * 32) * kStepBytes;

  alignas(64) std::byte codes[kCodes];
  alignas(64) std::byte all_exponents[kIntegerBlocks * kStepBytes];

  static constexpr std::size_t most_blocks(bool integers, std::size_t tokens) noexcept {
    return !integers ? kFloatBlocks : tokens <= 64 ? kIntegerBlocks / 4 : kIntegerBlocks;
  }

  std::byte* exponents(std::size_t block, int r) noexcept {
    return all_exponents + block * kStepBytes + static_cast<std::size_t>(r) * kLaneBytes<I>;
  }

  /// Vector r of a block, from its packed form.
  void decode_integers(std::size_t block, int r, const std::byte* packed) noexcept {
    if constexpr (kMultipliesMatrices<I>) {
      I::Matrix::decode(codes + block * 8 * kStepBytes, r, packed);
    } else {
      std::byte* const to = codes + block * 8 * kStepBytes + static_cast<std::size_t>(r) * kLaneBytes<I>;
#pragma GCC unroll 4
      for (std::size_t j = 0; j < 4; ++j) {
        const typename I::Codes bytes = I::codes(packed + 64 * j);
        const typename I::Weights low = I::template weights<false>(bytes),
                                  high = I::template weights<true>(bytes);
        std::memcpy(to + 2 * j * kStepBytes, &low, sizeof low);
        std::memcpy(to + (2 * j + 1) * kStepBytes, &high, sizeof high);
      }
    }
  }
  void decode_floats(std::size_t block, int r, const std::byte* packed) noexcept {
    float* to = reinterpret_cast<float*>(codes + block * 32 * kStepBytes) + r * I::kLanes;
    constexpr std::size_t kStep = kStepBytes / sizeof(float);
    for (std::size_t j = 0; j < 4; ++j, packed += 64) {
      const auto put = [&]<std::size_t... i>(std::index_sequence<i...>) noexcept {
        (I::store(to + i * kStep, I::template values<static_cast<int>(i)>(packed)), ...);
      };
      put(std::make_index_sequence<8>{});
      to += 8 * kStep;
    }
  }
};

template <class I>
struct TileWeights {
  const std::byte* block;
  [[gnu::always_inline]] typename I::Weights at(int r, int k) const noexcept {
    typename I::Weights w;
    std::memcpy(&w,
                block + static_cast<std::size_t>(k) * Tile<I>::kStepBytes +
                    static_cast<std::size_t>(r) * kLaneBytes<I>,
                sizeof w);
    return w;
  }
};

/// Adds a block of floats: one product after the other, in the order of the elements.
template <class I, int R, int T>
[[gnu::always_inline]] inline void add_float_block(const std::byte* weights,
                                                   const typename I::Ints* exponents,
                                                   const std::byte* const* records,
                                                   typename I::Floats (&sums)[R][T]) noexcept {
  typename I::Floats p[R][T];
  for (auto& row : p) {
    for (auto& lane : row) lane = I::zero();
  }
  for (int j = 0; j < 4; ++j) {
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) {  // nibble i of vector j
      const int place = float_place(i, j);
      typename I::Floats w[R];
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) w[r] = I::load(reinterpret_cast<const float*>(weights) + r * I::kLanes);
      weights += Tile<I>::kStepBytes;
#pragma GCC unroll 8
      for (int t = 0; t < T; ++t) {
        const typename I::Floats x = I::broadcast(records[t] + 4 * place);
#pragma GCC unroll 4
        for (int r = 0; r < R; ++r) p[r][t] = I::fma(w[r], x, p[r][t]);
      }
    }
  }
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t) {
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) sums[r][t] = I::fma(p[r][t], I::scaled(one<I>(), exponents[r]), sums[r][t]);
  }
}

/// Adds a tile's blocks to the sums of T tokens: sums[t][row of the tile].
template <class I, int kFormat, int T>
[[gnu::noinline]] void tile_product(const Tile<I>& tile, std::size_t blocks, const std::byte* const* tokens,
                                    float* sums) noexcept {
  constexpr int R = I::kTileVectors;
  constexpr TokenFormat kToken = static_cast<TokenFormat>(kFormat);
  typename I::Floats sum[R][T];
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t) {
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r)
      sum[r][t] = I::load(sums + static_cast<std::size_t>(t) * kTileRows<I> + r * I::kLanes);
  }
  const std::byte* records[T];
  for (int t = 0; t < T; ++t) records[t] = tokens[t];
  for (std::size_t b = 0; b < blocks; ++b) {
    typename I::Ints exponents[R];
#pragma GCC unroll 4
    for (std::size_t r = 0; r < R; ++r) {
      std::memcpy(exponents + r, tile.all_exponents + b * Tile<I>::kStepBytes + r * kLaneBytes<I>,
                  kLaneBytes<I>);
    }
    if constexpr (is_integers(kToken)) {
      add_block<I, kFormat + 1, R, T>(TileWeights<I>{tile.codes + b * 8 * Tile<I>::kStepBytes}, exponents,
                                      records, sum);
    } else {
      add_float_block<I, R, T>(tile.codes + b * 32 * Tile<I>::kStepBytes, exponents, records, sum);
    }
    for (int t = 0; t < T; ++t) records[t] += block_record_bytes(kToken);
  }
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t) {
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r)
      I::store(sums + static_cast<std::size_t>(t) * kTileRows<I> + r * I::kLanes, sum[r][t]);
  }
}

}  // namespace
}  // namespace mxfp4::kernel
