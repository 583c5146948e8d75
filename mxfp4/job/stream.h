// Parts to files: sharded, in parallel, in bounded memory, whole or not at all.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "mxfp4/job/part.h"
#include "mxfp4/job/progress.h"

namespace mxfp4::job {

/// A model about to be written.
struct Output {
  std::vector<Part> parts;  ///< in the order in which they fill the shards
  std::map<std::string, std::string> metadata = {{"format", "pt"}};
  /// Small files of a directory, by relative path: config.json, ...
  std::map<std::string, std::string> texts;
  /// Called once every part is written; may add to the texts. May be empty.
  std::function<void(std::map<std::string, std::string>& texts)> finish;
  std::filesystem::path copy_from;            ///< directory of `copies`
  std::vector<std::filesystem::path> copies;  ///< files copied as they are, relative to copy_from
};

/// How an output falls into safetensors files.
struct ShardPlan {
  std::vector<std::vector<std::size_t>> shards;  ///< indices of parts; a part is never cut
  std::vector<std::string> names;                ///< of the files
  std::uint64_t bytes = 0;                       ///< of all files that will be written, copies included
};

/// Fills shards of at most `max_shard` bytes in order; a larger part has one for itself. A bare file is one
/// shard.
ShardPlan plan_shards(const Output& output, const std::filesystem::path& out, bool directory,
                      std::uint64_t max_shard);

/// Checks that `out` may be written: it does not exist, or is an empty directory, or may be overwritten (for
/// a directory: holds a model); it is neither `in` nor inside nor around it; its parent is there and
/// writable. Throws Error invalid_argument, io.
void check_output(const std::filesystem::path& in, const std::filesystem::path& out, bool directory,
                  bool overwrite);

/// What was written.
struct Written {
  std::vector<std::string> files;  ///< relative to OUT; the file's own name for a bare one
  std::uint64_t peak_memory = 0;   ///< bytes of anonymous memory
};

/// Writes a directory (shards, an index if there are several, texts, copies) or a bare file. A directory is
/// made under a temporary name and renamed at the end; after an error or a stop nothing is left. Throws Error
/// io, out_of_memory if not even one unit fits max_memory, interrupted, and whatever a part throws.
Written write_output(const Output& output, const std::filesystem::path& out, bool directory,
                     const Options& options);

}  // namespace mxfp4::job
