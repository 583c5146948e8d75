// Shards over the ranks of a team.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "mxfp4/job/journal_internal.h"
#include "mxfp4/job/output.h"
#include "mxfp4/job/progress.h"
#include "mxfp4/job/team.h"

namespace mxfp4::job {

/// The rank that makes each of the shards: the largest first, each to the rank with the least to do, of these
/// to the lowest.
std::vector<int> deal_shards(const std::vector<std::uint64_t>& bytes, int ranks);

/// Bytes that are read and written for a shard.
std::uint64_t work_of(const Output& output, const std::vector<std::size_t>& parts);

/// A note to rank 0 that a shard is whole.
std::string to_note(std::size_t shard, const ShardNotes& notes);
std::pair<std::size_t, ShardNotes> from_note(const std::string& note);

/// While it lives, rank 0 hears what the others send. Does nothing without a team or on another rank.
class Listening {
 public:
  Listening(Team* team, std::function<void(const std::string& note)> hear);
  Listening(const Listening&) = delete;
  Listening& operator=(const Listening&) = delete;
  ~Listening();

 private:
  Team* team_;
};

/// Warns if some ranks will have none of so many files to make.
void warn_of_idle_ranks(const Options& options, std::size_t files);

/// Waits until a file that rank 0 has made is here: a network file system may remember for some seconds that
/// it was not. Throws Error io after that.
void wait_for_file(const Team& team, const std::filesystem::path& file,
                   std::chrono::milliseconds patience = std::chrono::seconds(10));

}  // namespace mxfp4::job
