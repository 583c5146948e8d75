// The directory in which a model is made: a run that is cut short leaves its finished shards there for the
// next.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <mutex>
#include <string>
#include <vector>

#include "mxfp4/base/error.h"
#include "mxfp4/job/journal_internal.h"
#include "mxfp4/job/output.h"
#include "mxfp4/job/progress.h"
#include "mxfp4/job/staging_internal.h"

namespace mxfp4::job {

/// Shards under a temporary name, and the journal of those that are whole.
class WorkDirectory {
 public:
  /// Takes the place beside `out`; all arguments must outlive the object. What an earlier run has left is
  /// gone on from with options.resume, and cleared without. Throws Error io, also if another process is
  /// writing the same output; invalid_argument if the earlier run was begun with other options, inputs or
  /// another program.
  WorkDirectory(const std::filesystem::path& out, const Output& output, const ShardPlan& plan,
                const Options& options);

  const std::filesystem::path& path() const noexcept { return staging_.path(); }

  /// Whether a shard is whole already: every byte is read and must be as it was written, else there is a
  /// warning. If so, its parts have their statistics. Throws Error interrupted.
  bool restore(std::size_t shard);

  /// Notes that a shard is whole. Thread-safe.
  void record(std::size_t shard, ShardNotes notes);

  /// After an error: whether what is whole stays for --resume, and how to tell so.
  bool keep_after(ErrorCode code);
  /// `doubtful`: it was read back, and was not what it should be.
  std::string kept_message(bool doubtful) const;

  /// Gives the directory its final name.
  void commit();

 private:
  void clear_unfinished();

  const Output& output_;
  const ShardPlan& plan_;
  const Options& options_;
  Staging staging_;
  Journal journal_;
  std::mutex mutex_;  // of the journal, while shards are written
};

/// All traits of a run that decide its bytes.
Traits all_traits(const Output& output, const Options& options);

/// Of a shard that was written here: the checksum of its bytes, and its parts' statistics.
ShardNotes notes_of_shard(const Output& output, const std::vector<std::size_t>& parts, std::uint32_t crc32c);

/// Gives its parts the statistics of a shard that was not written here.
void take_statistics(const Output& output, const std::vector<std::size_t>& parts, const ShardNotes& notes);

/// Bytes on the disk that an earlier run's shards take and that a new run gets back or goes on from.
std::uint64_t bytes_left_by_earlier_run(const std::filesystem::path& out);

}  // namespace mxfp4::job
