// Ranks: processes that do one thing together, on one machine or on many.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace mxfp4 {

/// One rank's view of all of them. What is not said to be a rank's own is called by every rank, in the same
/// order, by one thread at a time. Throws Error io with the rank that has not come within `timeout`, or if
/// the connection fails; after that only abort() is of use.
class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const noexcept = 0;  ///< in [0, size())
  virtual int size() const noexcept = 0;

  /// Sends send[r] to rank r and fills receive[r] with what that rank sends here, for every r. Both have
  /// size() members, whose sizes must be what the other side says; the memory of the two does not overlap.
  virtual void exchange(std::span<const std::span<const std::byte>> send,
                        std::span<const std::span<std::byte>> receive) = 0;

  /// Ends all ranks, with this exit status where the launcher passes it on. A rank's own.
  [[noreturn]] virtual void abort(int status) noexcept = 0;

  /// Returns once every rank has called it.
  void barrier();

  /// Everybody's bytes become the root's; all give as many.
  void broadcast(std::span<std::byte> bytes, int root = 0);

  /// What every rank gives, in the order of the ranks; each may give as much as it likes.
  std::vector<std::string> all_gather(std::span<const std::byte> mine);

  /// The same where everybody knows how much each gives: one after the other into `all`.
  void all_gather(std::span<const std::byte> mine, std::span<const std::size_t> sizes, std::byte* all);

  /// The sum over all ranks, ((v0 + v1) + v2) + ..., for each element: of the same bits on every rank and in
  /// every run.
  void all_reduce(std::span<float> values);

  std::chrono::milliseconds timeout{300'000};  ///< how long another rank is waited for
};

/// The only rank there is.
std::unique_ptr<Communicator> single_process();

}  // namespace mxfp4
