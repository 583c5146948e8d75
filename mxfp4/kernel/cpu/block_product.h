// One block of integers times the tokens of a batch.
#pragma once

#include <cstddef>
#include <type_traits>

#include "mxfp4/kernel/cpu/opaque.h"
#include "mxfp4/kernel/cpu/token_format.h"
#include "mxfp4/kernel/linear_ops.h"

namespace mxfp4::kernel {
namespace {

constexpr std::size_t smaller(std::size_t a, std::size_t b) noexcept {  // std::min would be a weak function
  return a < b ? a : b;
}

template <class I>
constexpr std::size_t kLaneBytes = std::size_t{4} * I::kLanes;
template <class I>
constexpr std::size_t kTileRows = std::size_t{I::kTileVectors} * I::kLanes;
template <class I>
constexpr std::size_t kTileGroups = kTileRows<I> / kGroupRows;

/// Whether an instruction set multiplies matrices: I::Matrix has what tiles of integers need of that.
///
///   kTokens                              at once
///   decode(block, r, packed)             vector r of rows, in the order of product()
///   product<D>(codes, exponents, blocks, records, tokens, sums)
///                                        tile_product() for D digits, sums[t * kTileRows + row]
template <class I>
concept kMultipliesMatrices = requires {
  typename I::Matrix;
};

/// Where a record of floats has what meets nibble i of the four bytes of vector j.
constexpr int float_place(int i, int j) noexcept {
  return i % 2 * 16 + 4 * j + i / 2;
}

template <class I>
[[gnu::always_inline]] inline typename I::Floats one() noexcept {
  constexpr float kOne = 1;
  return I::broadcast(reinterpret_cast<const std::byte*>(&kOne));
}

/// Calls body(integral_constant of count), for a count from 1 to kMost: what is compiled for each.
template <std::size_t kMost, class Body>
[[gnu::always_inline]] inline void with_constant(std::size_t count, const Body& body) noexcept {
  if constexpr (kMost > 1) {
    if (count < kMost) return with_constant<kMost - 1>(count, body);
  }
  body(std::integral_constant<int, static_cast<int>(kMost)>{});
}

/// Without that, g++ loads again what it has loaded, for every use.
template <class I, class Vector>
[[gnu::always_inline]] inline void keep(Vector& loaded) noexcept {
  if constexpr (I::kKeepsWeights) make_opaque(loaded);
}

/// Adds a block of integers to the sums of R vectors of rows and T tokens. weights.at(r, k) gives the weights
/// of vector r and step k, exponents[r] those of their scales. The scale goes into the step: an addition of
/// integers, for which processors have more units than for products.
template <class I, int kDigits, int R, int T, class Weights>
[[gnu::always_inline]] inline void add_block(Weights weights, const typename I::Ints* exponents,
                                             const std::byte* const* records,
                                             typename I::Floats (&sums)[R][T]) noexcept {
  constexpr int kBits = kRadixBits[kDigits - 1];
  typename I::Sum z[kDigits][R][T];
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t) {
#pragma GCC unroll 3
    for (int d = 0; d < kDigits; ++d) {
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) z[d][r][t] = I::start(records[t] + 32 * kDigits + 4 * d);
    }
  }
#pragma GCC unroll 8
  for (int k = 0; k < 8; ++k) {  // the low, then the high nibbles of each vector of codes
    typename I::Weights w[R];
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
      w[r] = weights.at(r, k);
      keep<I>(w[r]);
    }
#pragma GCC unroll 8
    for (int t = 0; t < T; ++t) {
#pragma GCC unroll 3
      for (int d = 0; d < kDigits; ++d) {
        const typename I::Quad x = I::quad(records[t] + 32 * d + k % 2 * 16 + k / 2 * 4);
#pragma GCC unroll 4
        for (int r = 0; r < R; ++r) I::add(z[d][r][t], w[r], x);
      }
    }
  }
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t) {
    const typename I::Floats half_step = I::broadcast(records[t] + 36 * kDigits);
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
      typename I::Ints total = I::total(z[0][r][t]);
#pragma GCC unroll 3
      for (int d = 1; d < kDigits; ++d) total = I::template joined<kBits>(total, I::total(z[d][r][t]));
      sums[r][t] = I::fma(I::converted(total), I::scaled(half_step, exponents[r]), sums[r][t]);
    }
  }
}

}  // namespace
}  // namespace mxfp4::kernel
