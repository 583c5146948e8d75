// The one quantised type that crosses layers.
#pragma once

#include <cstdint>
#include <vector>

#include "mxfp4/base/device.h"
#include "mxfp4/codec/nibble.h"
#include "mxfp4/tensor/shape.h"

namespace mxfp4 {

inline constexpr int kBlockSize = 32;

/// MXFP4 codes and scales that somebody else owns, the quantised dimension last. A row of K elements has
/// blocks = ceil(K / block_size) scale bytes and blocks * block_size / 2 code bytes; rows follow each other.
struct Mxfp4View {
  const std::uint8_t* codes = nullptr;
  const std::uint8_t* scales = nullptr;
  Shape shape;                  ///< logical elements [..., K]
  int block_size = kBlockSize;  ///< 32, or 16
  NibbleOrder order = NibbleOrder::interleaved;
  Device device = {};  ///< whose memory codes and scales lie in

  std::int64_t columns() const noexcept { return shape.empty() ? 1 : shape.back(); }
  std::int64_t rows() const noexcept;
  std::int64_t blocks_per_row() const noexcept { return (columns() + block_size - 1) / block_size; }
  std::int64_t blocks() const noexcept { return rows() * blocks_per_row(); }
  std::int64_t code_bytes() const noexcept { return blocks() * (block_size / 2); }
  std::int64_t scale_bytes() const noexcept { return blocks(); }
};

/// MXFP4 codes and scales with their memory.
struct Mxfp4Tensor {
  std::vector<std::uint8_t> codes;
  std::vector<std::uint8_t> scales;
  Shape shape;
  int block_size = kBlockSize;

  Mxfp4View view() const noexcept { return {codes.data(), scales.data(), shape, block_size}; }
};

}  // namespace mxfp4
