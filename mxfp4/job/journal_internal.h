// What a run leaves beside its finished shards, so that another can go on where it was cut short.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "mxfp4/job/output.h"
#include "mxfp4/kernel/error_stats.h"

namespace mxfp4::job {

/// Notes of a shard.
struct ShardNotes {
  std::uint32_t crc32c = 0;       ///< of the whole file
  std::vector<ErrorStats> parts;  ///< statistics of each of its parts, zero for a part that has none
};

/// As they are written, and back.
std::string to_text(const ShardNotes& notes);
ShardNotes notes_of(const std::string& text);

/// The file, in a directory of shards, that says how they are made and which of them are whole. Every change
/// rewrites and syncs it.
class Journal {
 public:
  static constexpr const char* kName = "mxfp4-resume.json";

  /// Takes up the journal in a directory, if one can be read there; else it has no finished shards yet.
  explicit Journal(const std::filesystem::path& directory);

  /// Whether a run with these traits may use what is there: throws Error invalid_argument with the first
  /// difference if not.
  void check_same(const Traits& traits) const;

  /// Forgets every shard and says how the next ones are made. Throws Error io.
  void begin(Traits traits);

  /// Notes that a shard is whole. Throws Error io.
  void record(const std::string& shard, ShardNotes notes);

  bool begun() const noexcept { return !traits_.empty(); }
  const std::map<std::string, ShardNotes>& finished() const noexcept { return finished_; }
  const std::filesystem::path& path() const noexcept { return path_; }

 private:
  void write() const;

  std::filesystem::path path_;
  Traits traits_;
  std::map<std::string, ShardNotes> finished_;
};

}  // namespace mxfp4::job
