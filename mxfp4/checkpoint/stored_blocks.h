// MXFP4 blocks where a file has them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "mxfp4/tensor/mxfp4_tensor.h"

namespace mxfp4 {

/// A quantised weight [..., N, K] in a mapped file, K a multiple of 32: its blocks follow each other, those
/// of the first row first. Codes and scales lie apart (safetensors: every 16 bytes and every byte) or in
/// turns (GGUF: both every 17 bytes). Does not own its memory. "Rows" are the dimensions but the last, taken
/// together.
struct StoredBlocks {
  const std::uint8_t* codes = nullptr;   ///< the 16 bytes of the first block
  const std::uint8_t* scales = nullptr;  ///< its scale byte
  Shape shape;                           ///< elements
  std::int64_t code_pitch = 16;          ///< bytes from the codes of a block to those of the next
  std::int64_t scale_pitch = 1;          ///< the same of scale bytes
  NibbleOrder order = NibbleOrder::interleaved;

  StoredBlocks() = default;
  explicit StoredBlocks(const Mxfp4View& view)  ///< of blocks of 32
      : codes(view.codes), scales(view.scales), shape(view.shape), order(view.order) {}

  std::int64_t columns() const noexcept { return shape.empty() ? 1 : shape.back(); }
  std::int64_t rows() const noexcept { return columns() == 0 ? 0 : element_count(shape) / columns(); }
  std::int64_t blocks_per_row() const noexcept { return columns() / kBlockSize; }
  std::int64_t blocks() const noexcept { return rows() * blocks_per_row(); }

  /// Whether codes and scales lie as in an Mxfp4View.
  bool is_plain() const noexcept { return code_pitch == kBlockSize / 2 && scale_pitch == 1; }
  /// The whole weight in place. Throws Error unsupported unless is_plain().
  Mxfp4View view() const;

  /// `count` rows first, first + step, ... with columns [begin, end), multiples of 32, as [count, end -
  /// begin]: in place where they lie so, or else in `scratch` of scratch_bytes(count * (end - begin)).
  Mxfp4View rows(std::int64_t first, std::int64_t count, std::int64_t step, std::int64_t begin,
                 std::int64_t end, std::byte* scratch) const;
  static std::size_t scratch_bytes(std::int64_t elements) noexcept;
};

/// Copies row `row` in interleaved order: 16 bytes a block to `codes`, a byte a block to `scales`.
void copy_row(const StoredBlocks& blocks, std::int64_t row, std::uint8_t* codes,
              std::uint8_t* scales) noexcept;

}  // namespace mxfp4
