// Checkpoints with random weights, for trying and benchmarking without a download.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "mxfp4/job/progress.h"

namespace mxfp4::job {

struct SynthRequest {
  std::filesystem::path out;  ///< a directory
  std::string like = "tiny";  ///< one of synth_models()
  bool quantized = false;     ///< experts in MXFP4 (convention gpt-oss) instead of BF16
  std::uint64_t seed = 0;
  // Sizes that replace the model's; 0: the model's own.
  std::int64_t layers = 0, experts = 0, hidden_size = 0, intermediate_size = 0;
  Options options;
};

struct SynthReport {
  std::uint64_t tensors = 0, bytes = 0;  ///< bytes of all files
  std::vector<std::string> files;
  double seconds = 0;
  std::uint64_t peak_memory = 0;
};

/// Names a model that `like` accepts.
std::vector<std::string> synth_models();

/// Writes a gpt-oss checkpoint: weights from a counter-based generator (the same bytes for the same request
/// on every machine and any number of threads), config.json, a tiny tokenizer, an index if there are several
/// shards. Throws Error invalid_argument for an unknown model, sizes that are negative, beyond reason, or
/// that MXFP4 cannot hold, and an OUT that exists; io; interrupted.
SynthReport run_synth(const SynthRequest& request);

}  // namespace mxfp4::job
