// How quantising and dequantising is cut for a device: functions of sizes alone.
#pragma once

#include <cstddef>
#include <cstdint>

#include "mxfp4/codec/macros.h"

namespace mxfp4::kernel::cuda {

/// A lane moves 16 bytes of elements at a time, so many times independently: enough reads in flight.
inline constexpr int kLaneBytes = 16, kLaneDepth = 4, kThreads = 256;

/// Rows of blocks as a kernel sees them. Where blocks fill rows, all rows are one.
struct BlockGrid {
  std::size_t rows = 0;
  std::size_t columns = 0;  ///< elements of a row
  std::size_t blocks = 0;   ///< of a row
  int lanes = 0;            ///< of a block
  bool vectors = false;     ///< every lane's elements are there and lie at a multiple of 16 bytes

  MXFP4_CODEC std::size_t all_lanes() const noexcept {
    return rows * blocks * static_cast<std::size_t>(lanes);
  }
};

/// `address` is where the dense elements begin, `bytes` the size of one.
inline BlockGrid block_grid(std::size_t rows, std::size_t columns, int block_size, int bytes,
                            std::uintptr_t address) noexcept {
  const auto size = static_cast<std::size_t>(block_size);
  const bool whole = columns % size == 0;
  BlockGrid grid;
  grid.rows = whole && rows > 0 ? 1 : rows;
  grid.columns = whole ? rows * columns : columns;
  grid.blocks = (grid.columns + size - 1) / size;
  grid.lanes = block_size * bytes / kLaneBytes;
  grid.vectors = whole && address % kLaneBytes == 0;
  return grid;
}

/// How rows go through a device: so many at a time. Where blocks fill rows, a row is a block.
struct RowPasses {
  std::size_t rows = 0, columns = 0;
  std::size_t blocks = 0, code_bytes = 0;  ///< of a row
  std::size_t rows_each = 0;
};

inline constexpr std::size_t kPassBytes = std::size_t{256} << 20;  ///< of dense elements

inline RowPasses row_passes(std::size_t rows, std::size_t columns, int block_size, std::size_t bytes,
                            std::size_t pass_bytes = kPassBytes) noexcept {
  const auto size = static_cast<std::size_t>(block_size);
  RowPasses passes;
  const bool whole = columns % size == 0;
  passes.rows = whole ? rows * columns / size : rows;
  passes.columns = whole ? size : columns;
  passes.blocks = (passes.columns + size - 1) / size;
  passes.code_bytes = passes.blocks * size / 2;
  const std::size_t fit = pass_bytes / (passes.columns * bytes);
  passes.rows_each = fit < 1 ? 1 : fit < passes.rows ? fit : passes.rows;
  return passes;
}

/// Thread blocks: enough for every lane, not more than the device runs a few times over.
inline unsigned thread_blocks(std::size_t lanes, int multiprocessors) noexcept {
  const std::size_t each = static_cast<std::size_t>(kThreads) * kLaneDepth;
  const std::size_t all = (lanes + each - 1) / each;
  const std::size_t most = static_cast<std::size_t>(multiprocessors) * 8;
  return static_cast<unsigned>(all < most ? all : most);
}

/// Lane l of a pass of `depth` over the grid: pass p takes [p * stride, ...), and thread t lanes t, t +
/// threads, ...
MXFP4_CODEC std::size_t lane_of(std::size_t pass_begin, int depth, std::size_t thread,
                                std::size_t threads) noexcept {
  return pass_begin + static_cast<std::size_t>(depth) * threads + thread;
}

}  // namespace mxfp4::kernel::cuda
