// The pieces that output files are made of.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include "mxfp4/container/safetensors.h"
#include "mxfp4/kernel/error_stats.h"

namespace mxfp4::job {

/// Writes bytes into one of a part's tensors at an offset from its start. May be called from several threads.
using Write = std::function<void(std::size_t output, std::uint64_t offset, std::span<const std::byte> bytes)>;

/// Gathers the statistics of one weight from its units, in whatever order they finish.
class StatsCollector {
 public:
  void record(std::size_t unit, const ErrorStats& stats);
  /// Sums added in the order of the units.
  ErrorStats total() const;

 private:
  mutable std::mutex mutex_;
  ErrorStats counts_;
  std::vector<std::pair<double, double>> sums_;  ///< signal and noise by unit
};

/// One or more tensors that are made together from one source and stand in one file: a copy, a matrix and its
/// scales. The work is cut into units by shape alone, never by threads or memory, so that sums over units are
/// reproducible.
struct Part {
  std::vector<safetensors::TensorSpec> outputs;
  std::size_t family = 0;  ///< of Output::families: what files it may stand in
  std::size_t units = 0;
  std::size_t unit_memory = 0;    ///< bytes of scratch that a unit needs at most
  std::uint64_t input_bytes = 0;  ///< read over all units, for progress
  /// Makes unit [0, units): thread-safe, each unit exactly once. scratch has unit_memory bytes, aligned
  /// to 64.
  std::function<void(std::size_t unit, std::byte* scratch, const Write& write)> run;
  std::shared_ptr<StatsCollector> stats;  ///< filled by run; null for a part without
};

}  // namespace mxfp4::job
