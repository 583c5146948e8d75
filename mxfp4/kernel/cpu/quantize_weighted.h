// Rows whose columns do not matter alike: every block one element after the other, since the search for its
// scale has no bound on its length.
#pragma once

#include "mxfp4/kernel/cpu/block_sums.h"
#include "mxfp4/kernel/cpu/odd_block.h"
#include "mxfp4/kernel/ops.h"

namespace mxfp4::kernel {
namespace {

template <class Element>
std::size_t quantize_weighted(const QuantizeArgs& args) noexcept {
  const auto size = static_cast<std::size_t>(args.block_size);
  const std::size_t blocks = (args.columns + size - 1) / size;
  const auto* const elements = static_cast<const std::byte*>(args.x);
  BlockSums sums = {};
  for (std::size_t row = 0; row < args.rows; ++row) {
    const float* const weights = args.importance.of_row(row, args.columns);
    for (std::size_t b = 0; b < blocks; ++b) {
      float x[32] = {}, w[32] = {};  // completed with zeros
      for (std::size_t i = 0, column = b * size; i < size && column < args.columns; ++i, ++column) {
        const std::size_t element = row * args.columns + column;
        typename Element::Raw raw;
        std::memcpy(&raw, elements + element * sizeof raw, sizeof raw);
        x[i] = Element::value(raw);
        w[i] = weights[column];
        if (refuses(args.recipe, x[i])) return element;
      }
      const std::size_t index = row * blocks + b;
      std::uint8_t codes[16];
      args.scales[index] = quantize_odd_block(
          x, args.dtype, args.recipe, args.reference == nullptr ? nullptr : args.reference + index, w, codes);
      std::memcpy(args.codes + index * size / 2, codes, size / 2);
      if (args.stats != nullptr) sums.add_odd(x, args.scales[index], codes);
    }
  }
  if (args.stats != nullptr) sums.add_to(*args.stats, args.rows * args.columns, args.rows * blocks);
  return kNone;
}

}  // namespace
}  // namespace mxfp4::kernel
