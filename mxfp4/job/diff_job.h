// What two checkpoints do not have in common.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <vector>

#include "mxfp4/checkpoint/problems.h"
#include "mxfp4/job/progress.h"

namespace mxfp4::job {

struct DiffRequest {
  std::filesystem::path a, b;  ///< model directories or files
  /// Compare what the weights are worth, whatever their names, dtypes, layouts and files; otherwise every
  /// byte of every tensor, and where it stands.
  bool values = false;
  int threads = 0;                          ///< 0: all that this process may use
  Progress* progress = nullptr;             ///< may be null
  const std::atomic<bool>* stop = nullptr;  ///< set to end with Error interrupted; may be null
};

struct DiffReport {
  std::vector<Problem> differences;
  std::uint64_t compared = 0, bytes = 0;  ///< tensors (or weights) that both have, and their bytes in A
  double seconds = 0;

  bool equal() const noexcept { return differences.empty(); }
};

/// By bytes: names, dtypes, shapes, contents, files and order of the stored tensors, metadata, config.json by
/// key. By values: every weight under its dense name, -0 equal to 0 and NaN to NaN; config.json without what
/// it says about quantisation and dtype. Throws what open_checkpoint throws (by values) or open_model (by
/// bytes), Error unsupported if a model is quantised in a way that is not read, interrupted.
DiffReport run_diff(const DiffRequest& request);

}  // namespace mxfp4::job
