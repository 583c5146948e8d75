// Rows whose columns have weights: every block by the scalar truth, since the search has no bound on its
// length.
#pragma once

#include "mxfp4/codec/weighted.h"
#include "mxfp4/kernel/cpu/block_sums.h"
#include "mxfp4/kernel/ops.h"

namespace mxfp4::kernel {
namespace {

/// A block with its weights, both completed with zeros.
struct WeightedBlock {
  float x[32] = {}, w[32] = {};
  int n = 0;
};

inline std::uint8_t weighted_block_byte(const WeightedBlock& block, const Recipe& recipe,
                                        const std::uint8_t* reference) noexcept {
  if (recipe.nonfinite == NonFinite::nan_block) {
    for (int i = 0; i < block.n; ++i) {
      if (!is_finite(block.x[i])) return kE8m0Nan;
    }
  }
  const std::uint8_t own = weighted_byte(block.x, block.w, block.n);
  if (reference == nullptr || *reference == kE8m0Nan || *reference == own) return own;
  return weighted_excess(block.x, block.w, block.n, own, *reference) <= 0.0 ? *reference : own;
}

template <class Element>
std::size_t quantize_weighted(const QuantizeArgs& args) noexcept {
  const auto size = static_cast<std::size_t>(args.block_size);
  const std::size_t blocks = (args.columns + size - 1) / size;
  const auto* const x = static_cast<const std::byte*>(args.x);
  BlockSums sums = {};
  for (std::size_t row = 0; row < args.rows; ++row) {
    const float* const weights = args.importance.of_row(row, args.columns);
    for (std::size_t b = 0; b < blocks; ++b) {
      WeightedBlock block;
      block.n = static_cast<int>(args.columns - b * size < size ? args.columns - b * size : size);
      for (int i = 0; i < block.n; ++i) {
        const std::size_t column = b * size + static_cast<std::size_t>(i);
        typename Element::Raw raw;
        std::memcpy(&raw, x + (row * args.columns + column) * sizeof raw, sizeof raw);
        block.x[i] = Element::value(raw);
        block.w[i] = weights[column];
        if (args.recipe.nonfinite == NonFinite::error && !is_finite(block.x[i]))
          return row * args.columns + column;
      }
      const std::size_t index = row * blocks + b;
      const std::uint8_t byte = weighted_block_byte(
          block, args.recipe, args.reference == nullptr ? nullptr : args.reference + index);
      std::uint8_t codes[16];
      for (int i = 0; i < 32; i += 2) {
        const bool nan = byte == kE8m0Nan;
        codes[i / 2] = pack_nibbles(nan ? kE2m1Nan : mxfp4::encode(block.x[i], byte, args.recipe.ties),
                                    nan ? kE2m1Nan : mxfp4::encode(block.x[i + 1], byte, args.recipe.ties));
      }
      args.scales[index] = byte;
      std::memcpy(args.codes + index * size / 2, codes, size / 2);
      if (args.stats != nullptr) sums.add_odd(block.x, byte, codes);
    }
  }
  if (args.stats != nullptr) sums.add_to(*args.stats, args.rows * args.columns, args.rows * blocks);
  return kNone;
}

}  // namespace
}  // namespace mxfp4::kernel
