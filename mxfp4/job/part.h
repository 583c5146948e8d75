// The pieces that output files are made of.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "mxfp4/container/safetensors.h"

namespace mxfp4::job {

/// Writes bytes into one of a part's tensors at an offset from its start. May be called from several threads.
using Write = std::function<void(std::size_t output, std::uint64_t offset, std::span<const std::byte> bytes)>;

/// One or more tensors that are made together from one source and stand in one file: a copy, a matrix and its
/// scales. The work is cut into units by shape alone, never by threads or memory, so that sums over units are
/// reproducible.
struct Part {
  std::vector<safetensors::TensorSpec> outputs;
  std::size_t units = 0;
  std::size_t unit_memory = 0;    ///< bytes of scratch that a unit needs at most
  std::uint64_t input_bytes = 0;  ///< read over all units, for progress
  /// Makes unit [0, units): thread-safe, each unit exactly once. scratch has unit_memory bytes, aligned
  /// to 64.
  std::function<void(std::size_t unit, std::byte* scratch, const Write& write)> run;
};

}  // namespace mxfp4::job
