// Ranks that do one job together, and keep in touch meanwhile.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "mxfp4/base/error.h"
#include "mxfp4/comm/communicator.h"

namespace mxfp4::job {

/// One rank's place among all. A thread of its own exchanges a few words with all ranks, several times a
/// second: whether a rank works, waits or has failed, and how far it is. So a rank that stops answering is
/// noticed within the communicator's timeout, and so is one that works and gets no further. The thread begins
/// with the first call that needs it; from then on the communicator is the team's.
class Team {
 public:
  /// `lost` is called, on the team's thread, when a rank cannot be reached or does nothing any more: it
  /// should say so and abort the communicator, since nobody may be there who could end in order.
  Team(Communicator& ranks, std::function<void(const Error&)> lost);
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;
  /// Without leave() or fail() the other ranks would wait; so it fails.
  ~Team();

  int rank() const noexcept { return rank_; }
  int size() const noexcept { return size_; }
  void set_timeout(std::chrono::seconds timeout) noexcept { timeout_ms_ = timeout.count() * 1000; }

  /// Every rank's text, in the order of the ranks; waits for all. What ranks have sent before is at rank 0
  /// then. Throws what check() throws, and on all ranks Error invalid_argument if one of them leaves
  /// meanwhile.
  std::vector<std::string> gather(std::string mine);

  /// Sends a note to rank 0, and does not wait. There the listener gets it, on the team's thread; what it
  /// throws is rank 0's failure.
  void send(std::string note);
  void listen(std::function<void(int rank, const std::string& note)> listener);

  /// Says that something was done, `bytes` of it.
  void advance(std::uint64_t bytes) noexcept;
  /// Bytes done by all ranks, as far as is known.
  std::uint64_t done() const noexcept { return others_done_ + own_done_; }

  /// Throws the error of another rank, which begins with its number: "rank 2: ...". Cheap.
  void check() const;

  /// Tells the others that this rank has failed, or has heard of another's failure (what check() has thrown),
  /// and waits until all know. Returns whether every rank has failed by itself, and in the same way.
  bool fail(const Error& error);

  /// The job is done: waits until it is for all.
  void leave();

 private:
  enum class State { working, waiting, ended };
  struct Peer {
    State state = State::working;
    std::uint64_t ticks = 0, done = 0;
    std::chrono::steady_clock::time_point changed;
    std::optional<Error> error;  ///< its own
  };

  std::vector<std::string> meet(std::string mine, bool leaving);
  void start();
  void pulse();
  bool round();  ///< whether there is another
  std::string words();
  void hear(int rank, const std::string& words);
  void deliver(int rank, const std::string& note);
  void check_alive(int rank) const;

  Communicator& ranks_;
  const int rank_, size_;
  const std::function<void(const Error&)> lost_;
  std::atomic<std::int64_t> timeout_ms_;
  std::atomic<std::uint64_t> own_done_{0}, others_done_{0}, ticks_{0};
  std::atomic<bool> failed_{false};

  mutable std::mutex mutex_;
  std::condition_variable heard_, wake_;
  State state_ = State::working;
  std::vector<Peer> peers_;
  std::chrono::steady_clock::time_point last_round_;
  std::optional<Error> failure_;  ///< the first of another rank
  std::optional<Error> own_error_;
  std::vector<std::string> notes_;  ///< to be sent
  std::uint64_t gathers_ = 0;       ///< begun here
  bool unsent_ = false;             ///< the text of the last one
  std::string text_;
  bool leaving_ = false;  ///< that was said with it
  /// Of the last gather and the one before: whoever is quick has begun the next one already.
  struct Text {
    std::string text;
    bool leaving;
  };
  std::vector<std::optional<Text>> texts_[2];
  bool over_ = false;  ///< all have ended

  std::mutex listener_mutex_;
  std::function<void(int, const std::string&)> listener_;
  std::thread thread_;
};

/// Compares what the ranks were asked for, by name. Throws on all of them Error invalid_argument with the
/// first difference between a rank and rank 0, and what Team::gather() throws.
void check_same_job(Team& team, const std::vector<std::pair<std::string, std::string>>& asked);

}  // namespace mxfp4::job
