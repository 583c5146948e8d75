// How a long job talks to its caller.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>

namespace mxfp4::job {

class Team;

/// Implemented by the caller; called from one thread at a time, a few times a second at most matters.
class Progress {
 public:
  virtual ~Progress() = default;
  /// Bytes of input done out of `total`; called often, must be cheap.
  virtual void advance(std::uint64_t done, std::uint64_t total) = 0;
  /// Something a person should know while the job goes on.
  virtual void warn(const std::string& message) = 0;
};

/// What every job that writes takes.
struct Options {
  int threads = 0;                          ///< 0: all that this process may use
  std::uint64_t max_memory = 2ull << 30;    ///< bytes of anonymous memory
  std::uint64_t max_shard = 5'000'000'000;  ///< bytes of a file of a model directory
  bool overwrite = false;                   ///< OUT may exist and is replaced once the new one is whole
  bool resume = false;                      ///< go on from the shards that a run cut short has finished
  Progress* progress = nullptr;             ///< may be null
  const std::atomic<bool>* stop = nullptr;  ///< set to end the job with Error interrupted; may be null
  /// The ranks that share the work, each of which calls the same; null: this process does all. Their report
  /// is rank 0's; progress and warnings are told on each.
  Team* team = nullptr;
  std::chrono::seconds timeout{300};  ///< of the team: how long a rank may be out of touch, or get no further
};

}  // namespace mxfp4::job
