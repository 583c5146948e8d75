// Timing candidates in turns, on memory of their own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "mxfp4/base/context.h"

namespace mxfp4::cli {

/// Memory in huge pages where the system has them: what is measured are kernels, not tables of pages.
class Buffer {
 public:
  explicit Buffer(std::size_t bytes);  ///< zeros. Throws Error out_of_memory
  std::byte* data() const noexcept { return data_.get(); }
  std::uint8_t* bytes() const noexcept { return reinterpret_cast<std::uint8_t*>(data_.get()); }

 private:
  struct Free {
    void operator()(std::byte* p) const noexcept;
  };
  std::unique_ptr<std::byte, Free> data_;
};

/// Equal copies of something, so many that each has left the caches when its turn comes again. Whatever reads
/// one asks for the next one: two candidates that took the same copy would read it from the cache.
class Rotation {
 public:
  /// Copies of `bytes` in a Buffer, of which there will be `buffers` like this one.
  Rotation(std::size_t bytes, std::size_t buffers);

  std::size_t copies() const noexcept { return copies_; }
  std::byte* copy(std::size_t index) const noexcept { return memory_.data() + index * stride_; }
  std::size_t next() noexcept { return turn_++ % copies_; }

  /// Whether the copies together are too small for that.
  bool fits_cache() const noexcept;
  double megabytes() const noexcept { return static_cast<double>(copies_ * stride_) / 1e6; }

 private:
  std::size_t stride_, copies_, turn_ = 0;
  Buffer memory_;
};

/// Something to time, and what a call does: bytes or operations.
struct Candidate {
  std::string name;
  double work = 0;
  std::function<void()> run;
};

struct Timed {
  std::string name;
  double work = 0;
  std::vector<double> seconds;      ///< of every round
  std::vector<double> cpu_seconds;  ///< that processors spent on it, all threads together

  double median() const { return median_of(0, seconds.size()); }
  double rate() const { return work / median(); }
  /// By how much the medians of the first and the second half of the rounds differ: 0.15 is 15 %.
  double drift() const;
  /// The share of the processors' time that `threads` got in the median round; the rest went to other
  /// programs, or to waiting for each other.
  double share_of_processors(int threads) const;

 private:
  double median_of(std::size_t begin, std::size_t end) const;
};

/// Runs all candidates in turn, so that what else the machine does meets all of them: at least 15 rounds, and
/// more of them where a round is short.
std::vector<Timed> time_in_turns(const std::vector<Candidate>& candidates);

/// How long a run takes. Throws Error interrupted, and does not run, once a signal has come.
double seconds_of(const std::function<void()>& run);

/// The best instruction set of this machine: memory is passed over with it, whichever the kernels use.
Isa best_isa();

/// What the run computes on: an instruction set, or a device.
std::string computed_on();
/// Of a run on a device: that the limits are not the device's.
std::vector<std::string> warnings_of_device();

}  // namespace mxfp4::cli
