// What bounds a product with weights in memory: how fast they can be read, and how fast an instruction set
// multiplies.
#pragma once

#include <string>
#include <vector>

#include "mxfp4/base/context.h"
#include "mxfp4/cli/bench_turns.h"
#include "mxfp4/cli/console.h"

namespace mxfp4::cli {

/// Candidates that read a copy of `weights`, `bytes` of it, by 1, 2 and 4 streams a thread, with and without
/// prefetching, and that compute in registers; they refer to `weights`.
std::vector<Candidate> limit_candidates(const Context& context, Rotation& weights, std::size_t bytes);

/// One of two resources that a product needs.
struct Limit {
  std::string name;
  bool reads = false;  ///< memory rather than multiplication
  double rate = 0;     ///< bytes or operations per second
  double seconds = 0;  ///< that the product takes of it at least
};

class Limits {
 public:
  /// What was measured for limit_candidates(), in their order.
  Limits(const Context& context, std::vector<Timed> timed);

  const Timed& read() const noexcept { return timed_[best_read_]; }  ///< the fastest
  const Timed& int8_dots() const noexcept { return timed_[int8_dots_]; }
  const Timed& f32_fmas() const noexcept { return timed_[int8_dots_ + 1]; }

  /// The roofline: the later of reading `bytes` and of `operations` at the peak of their kind.
  Limit roofline(double bytes, double operations, bool int8) const;

  /// Rates in G/s.
  Json to_json() const;
  /// What says that the limits, and so all ratios, are not to be trusted.
  std::vector<std::string> warnings() const;

 private:
  Context context_;
  std::vector<Timed> timed_;
  std::size_t best_read_ = 0, int8_dots_ = 0;
};

}  // namespace mxfp4::cli
