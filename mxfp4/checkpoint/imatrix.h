// Importance matrices: how much each input column of a weight matters, as calibration has measured it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mxfp4 {

/// The importance matrices in one file: mean squares of the inputs of every weight, K of them, or K for each
/// expert.
class ImportanceMatrix {
 public:
  /// Reads llama.cpp's two formats (the old .dat; GGUF with `NAME.in_sum2` and `NAME.counts`) and safetensors
  /// (F32 `NAME` [K] or [E, K], or such pairs), told apart by their content. What was never used in
  /// calibration counts as 1 everywhere. Throws Error io, corrupt_file, unsupported.
  static ImportanceMatrix open(const std::filesystem::path& path);

  /// The values for a weight [N, K] (`experts` is 0) or [E, N, K]: `columns` of them that all rows share, or
  /// experts * columns; empty if there are none. Entries are named as the checkpoint names its weights, with
  /// or without ".weight", or as llama.cpp does; a matrix of one expert finds its row of the experts' entry.
  /// Throws Error invalid_argument if the entry has another number of values.
  std::span<const float> find(std::string_view weight, std::int64_t experts, std::int64_t columns) const;

  std::size_t size() const noexcept { return entries_.size(); }

 private:
  using Entries = std::map<std::string, std::vector<float>, std::less<>>;

  std::filesystem::path path_;
  Entries entries_;
};

/// Where llama.cpp keeps a weight.
struct LlamaCppName {
  std::string name;          ///< "blk.3.ffn_gate_exps.weight"
  std::int64_t expert = -1;  ///< the row of the stacked experts that the weight is, or -1
};

/// llama.cpp's names for a weight that a checkpoint calls "model.layers.3.mlp.experts.gate_up_proj", the
/// likeliest first: gate and up have the same inputs. Empty if no pattern fits.
std::vector<LlamaCppName> llama_cpp_names(std::string_view weight);

}  // namespace mxfp4
