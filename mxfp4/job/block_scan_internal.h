// Every block of a model's quantised weights, read once, wherever codes and scales lie.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "mxfp4/checkpoint/checkpoint.h"
#include "mxfp4/job/pass_internal.h"

namespace mxfp4::job {

/// Some blocks of a weight that follow each other.
struct BlockStretch {
  std::size_t weight = 0;   ///< its number among those scanned
  std::uint64_t first = 0;  ///< number of the first block
  std::span<const std::byte> codes,
      scales;  ///< 16 bytes and one byte to a block; codes in any order of nibbles
};

/// Calls `look` for all blocks of the weights, which are quantised, in stretches, on all threads of the pass.
/// Their pages are given back.
void scan_blocks(const ModelFiles& files, const std::vector<const Weight*>& weights, Pass& pass,
                 const std::function<void(const BlockStretch&)>& look);

/// Bytes of their blocks, for Pass::expect.
std::uint64_t block_bytes(const std::vector<const Weight*>& weights) noexcept;

}  // namespace mxfp4::job
