// Write tensors that lie in memory as a model, in the names of a convention.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "mxfp4/job/progress.h"
#include "mxfp4/tensor/mxfp4_tensor.h"
#include "mxfp4/tensor/view.h"

namespace mxfp4::job {

/// A tensor under its dense name ("model.layers.0.self_attn.q_proj.weight"), [..., N, K] as a Linear layer
/// means it.
struct TensorToSave {
  std::string name;
  DenseView dense;                     ///< any dtype of whole bytes, any strides; or
  std::optional<Mxfp4View> quantized;  ///< in blocks of 32, interleaved
};

struct SaveRequest {
  std::filesystem::path out;  ///< a .safetensors file, or else a directory
  std::vector<TensorToSave> tensors;
  std::string convention = "linear";
  /// Text of config.json for a directory, or empty; what the convention says of the quantisation is put in.
  std::string config;
  Options options;
};

struct SaveReport {
  std::vector<std::string> files;  ///< written under OUT
};

/// Throws Error invalid_argument for an unknown convention, names that stand twice, and an OUT that exists
/// without overwrite; unsupported for a weight that the convention cannot hold; io; interrupted.
SaveReport run_save(const SaveRequest& request);

}  // namespace mxfp4::job
