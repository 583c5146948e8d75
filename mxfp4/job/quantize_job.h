// Quantise a whole checkpoint: plan, then run.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "mxfp4/codec/block.h"
#include "mxfp4/job/progress.h"
#include "mxfp4/kernel/error_stats.h"
#include "mxfp4/tensor/dtype.h"
#include "mxfp4/tensor/shape.h"

namespace mxfp4::job {

/// "PATTERN=RULE" or "PATTERN=keep", as the user wrote it.
struct TensorRule {
  std::string text;
  std::string origin;  ///< for messages: "--tensor", "rules.txt:3"
};

struct QuantizeRequest {
  std::filesystem::path in, out;  ///< both directories, or both .safetensors files
  std::string format;             ///< a convention's name; empty: what suits the model
  Recipe recipe;
  std::vector<std::string> include;      ///< patterns; if there are any, only tensors they name are quantised
  std::vector<std::string> exclude;      ///< patterns of tensors to keep
  std::vector<TensorRule> tensor_rules;  ///< the last that names a tensor decides, against everything else
  std::filesystem::path
      reference;  ///< an MXFP4 checkpoint whose scales are kept where they are as good; may be empty
  std::filesystem::path imatrix;  ///< importance of columns, for tensors quantised by `optimal`; may be empty
  bool card = true;               ///< write README.md if IN has none
  Options options;
};

/// What happens to one tensor of IN.
struct PlannedTensor {
  std::string name;
  bool quantized = false;
  std::string reason;  ///< why it is kept; empty if it is quantised
  Dtype dtype = Dtype::f32;
  Shape shape;            ///< logical, [..., N, K] where it is quantised
  Recipe recipe;          ///< if it is quantised
  bool weighted = false;  ///< by an importance matrix
  std::uint64_t bytes_in = 0, bytes_out = 0;
  double bits_per_weight = 0;  ///< in OUT
  ErrorStats stats;            ///< after the run, if it is quantised
};

struct QuantizeReport {
  std::string format;  ///< the convention written
  std::vector<PlannedTensor> tensors;
  std::uint64_t bytes_in = 0, bytes_out = 0;     ///< of all tensors
  std::uint64_t disk_needed = 0, disk_free = 0;  ///< bytes; the preflight
  std::vector<std::string> files;                ///< written under OUT
  std::vector<std::string> left_behind;          ///< files of IN that are not copied, with the reason
  double seconds = 0;
  std::uint64_t peak_memory = 0;  ///< bytes of anonymous memory

  // Over the quantised tensors:
  ErrorStats total() const noexcept;
  double bits_per_weight() const noexcept;
  std::vector<const PlannedTensor*> worst_first() const;  ///< by SQNR, ascending
  double median_sqnr_db() const;                          ///< of the tensors; NaN without any
};

/// Decides everything and writes nothing: reads headers, checks that OUT may be written and that the disk
/// holds it. Throws Error invalid_argument for an OUT that exists without overwrite, IN and OUT of different
/// kinds or one inside the other, a pattern that matches nothing, a format that cannot hold the model; what
/// open_checkpoint throws.
QuantizeReport plan_quantize(const QuantizeRequest& request);

/// Plans and does it. OUT appears whole or not at all. The bytes depend on nothing but IN and the request's
/// choices. Throws also Error io, out_of_memory (max_memory too small), interrupted, and corrupt_file for a
/// non-finite element under NonFinite::error, with tensor, position and value.
QuantizeReport run_quantize(const QuantizeRequest& request);

}  // namespace mxfp4::job
