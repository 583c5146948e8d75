// A model about to be written, and how it falls into files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "mxfp4/base/file.h"
#include "mxfp4/job/part.h"

namespace mxfp4::job {

/// What decides an output's bytes, as pairs of a name for people and a value: "--scale", "optimal". Runs with
/// the same traits over the same inputs make the same shards, so one can go on where another was cut short.
using Traits = std::vector<std::pair<std::string, std::string>>;

/// Where an output is really written: a link as OUT stays, and what it leads to is replaced. The path itself
/// if it is none; without a slash at its end, so that something may be appended to the name.
std::filesystem::path followed(const std::filesystem::path& out);

/// Files of a directory that parts are spread over.
struct FileFamily {
  /// The name of file `number`, counted from 1, of `count`.
  std::function<std::string(std::size_t number, std::size_t count)> name;
  bool one_file = false;                                           ///< however large
  std::uint64_t most = std::numeric_limits<std::uint64_t>::max();  ///< bytes of tensors, besides max_shard
};

/// model.safetensors, or model-00001-of-00003.safetensors with an index.
FileFamily safetensors_family();

/// A model about to be written.
struct Output {
  std::vector<Part> parts;  ///< in the order in which they fill the shards of their family
  std::vector<FileFamily> families = {
      safetensors_family()};  ///< an index is written if there is only this one
  std::map<std::string, std::string> metadata = {{"format", "pt"}};
  /// Small files of a directory, by relative path: config.json, ...
  std::map<std::string, std::string> texts;
  /// Called once every part is written; may add to the texts. May be empty.
  std::function<void(std::map<std::string, std::string>& texts)> finish;
  /// Called with the path of what was written, before OUT gets its name; throws to refuse it. May be empty.
  std::function<void(const std::filesystem::path& written)> check;
  /// How a file is laid out; specs of another container than safetensors are in bytes.
  std::function<safetensors::Layout(std::span<const safetensors::TensorSpec>,
                                    const std::map<std::string, std::string>& metadata)>
      layout = safetensors::layout;
  std::map<std::string, std::uint64_t> index_notes;  ///< beside total_size in the index
  std::filesystem::path copy_from;                   ///< directory of `copies`
  std::vector<std::filesystem::path> copies;         ///< files copied as they are, relative to copy_from
  Traits traits;
  std::vector<const MappedFile*> inputs;  ///< what the parts read; they may not change meanwhile
};

/// How an output falls into safetensors files.
struct ShardPlan {
  std::vector<std::vector<std::size_t>> shards;  ///< indices of parts; a part is never cut
  std::vector<std::string> names;                ///< of the files
  bool indexed = false;                          ///< whether an index tells where tensors are
  std::uint64_t bytes = 0;                       ///< of all files that will be written, copies included
};

/// Fills shards of at most `max_shard` bytes in order, those of one family behind those of the one before; a
/// larger part has one for itself. A bare file is one shard.
ShardPlan plan_shards(const Output& output, const std::filesystem::path& out, bool directory,
                      std::uint64_t max_shard);

/// The tensors of the given parts.
std::vector<safetensors::TensorSpec> specs_of(const Output& output, const std::vector<std::size_t>& parts);

/// The text of model.safetensors.index.json.
std::string index_text(const Output& output, const ShardPlan& plan);

}  // namespace mxfp4::job
