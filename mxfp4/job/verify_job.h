// Is a checkpoint as it should be?
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "mxfp4/checkpoint/problems.h"
#include "mxfp4/job/progress.h"

namespace mxfp4::job {

struct VerifyRequest {
  std::filesystem::path path;       ///< a model directory or a file
  bool content = true;              ///< read every tensor; otherwise headers, index and config only
  std::filesystem::path against;    ///< the model that `path` was made of, in any layout; may be empty
  double min_sqnr_db = 12;          ///< every weight must keep this against its original
  std::optional<double> max_error;  ///< no element may be further than this from its original
  int threads = 0;                  ///< 0: all that this process may use
  Progress* progress = nullptr;     ///< may be null
  const std::atomic<bool>* stop = nullptr;  ///< set to end with Error interrupted; may be null
  Team* team = nullptr;  ///< ranks that share the work and get the same report; may be null
};

/// A weight beside its original.
struct ComparedWeight {
  std::string name;
  std::string weight;    ///< the model's weight that it is, or is a part of
  double signal = 0;     ///< sum of original^2
  double noise = 0;      ///< sum of (original - value)^2
  double sqnr_db = 0;    ///< infinite where nothing was lost
  double max_error = 0;  ///< largest |original - value|
};

struct VerifyReport {
  std::string convention;
  std::vector<Problem> problems;
  std::vector<std::string> notes;        ///< what is worth knowing and no fault
  std::vector<ComparedWeight> compared;  ///< with `against`: the weights that both models have
  std::uint64_t files = 0, tensors = 0, bytes = 0;
  double seconds = 0;

  bool ok() const noexcept { return problems.empty(); }
};

/// Checks what open_checkpoint checks with a list of problems, then (`content`) that no scale byte is 255 and
/// no element NaN or infinite, then (`against`) the error of every weight. Reads everything once, in bounded
/// memory; the report depends on threads in nothing but `seconds`. Throws Error corrupt_file or io for what
/// cannot be read at all (of both models), unsupported for `against` if one of them is quantised in a way
/// that is not read, interrupted.
VerifyReport run_verify(const VerifyRequest& request);

}  // namespace mxfp4::job
