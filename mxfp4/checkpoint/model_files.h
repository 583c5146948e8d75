// The files of a model: a directory with one safetensors file or shards and an index, one bare file, or GGUF.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "mxfp4/checkpoint/problems.h"
#include "mxfp4/container/tensor_file.h"

namespace mxfp4 {

/// A file or directory that has no place in a converted model.
struct LeftBehind {
  std::filesystem::path path;  ///< relative to the model's
  std::string reason;          ///< "weights in another format", "hidden", ...
};

/// What files are, as `inspect` names it.
inline constexpr std::string_view kSafetensors = "safetensors", kGguf = "gguf";

/// An opened model. Only headers and small files have been read.
struct ModelFiles {
  std::filesystem::path path;  ///< as given
  bool is_directory = false;
  std::vector<TensorFilePtr> files;  ///< the shards, by name; one for a bare file
  std::string config;                ///< text of config.json, or what a GGUF file says in its terms; or empty
  std::vector<std::filesystem::path>
      other_files;                      ///< relative to path: tokenizer, templates, ... to be copied
  std::vector<LeftBehind> left_behind;  ///< what is not copied
  std::string_view container = kSafetensors;
  /// Small files that the container's own metadata stand for, by name: tokenizer.json, ... Empty for
  /// safetensors.
  std::function<std::map<std::string, std::string>()> derived;

  /// The tensor of that name, or null.
  const StoredTensor* find(std::string_view name) const noexcept;
  /// Where a tensor stands: file name relative to path, for messages and listings.
  std::string file_of(const StoredTensor& tensor) const;
  /// Every tensor, in natural order of the names (layers.2 before layers.10).
  const std::vector<const StoredTensor*>& tensors() const noexcept { return in_order; }

  std::unordered_map<std::string_view, const StoredTensor*> by_name;
  std::vector<const StoredTensor*> in_order;
};

/// Opens a directory, a bare safetensors file, or a GGUF file and those that it was split into. Of a
/// directory whose only safetensors file, if any, is residual.safetensors, the .uqff files are read; if they
/// are of several models, one has to be named by one of its files, instead of the directory. With an index,
/// exactly its files are read, and index and files must agree on every name; without one, model.safetensors,
/// or else every .safetensors file in the directory. Links to files are followed, as a download cache has
/// them; links to directories are not. Throws Error io (not found, not readable), corrupt_file (index,
/// missing shard, a name that stands twice, no tensor at all), invalid_argument (no safetensors file there),
/// unsupported (a file in another format). With `problems`, what corrupt_file says of files that can be read
/// is listed there; of a tensor that stands twice the first counts.
ModelFiles open_model(const std::filesystem::path& path, Problems* problems = nullptr);

/// Orders names as people do: runs of digits by value.
bool natural_less(std::string_view a, std::string_view b) noexcept;

}  // namespace mxfp4
