// What every scale rule would have made of a weight, tried on a sample of its original.
#pragma once

#include <vector>

#include "mxfp4/job/compare_internal.h"
#include "mxfp4/job/report_job.h"

namespace mxfp4::job {

/// The sample of a matrix: strips of whole rows, or of parts of long ones, at even distances. Follows from
/// the shape alone.
class Strips {
 public:
  static constexpr std::int64_t kElements = 1 << 16;  ///< of one strip at most

  explicit Strips(const Shape& shape);

  struct Strip {
    std::int64_t row, row_end, column, column_end;
  };
  std::size_t count() const noexcept { return static_cast<std::size_t>(count_); }
  Strip operator[](std::size_t index) const noexcept;

 private:
  std::int64_t rows_ = 0, columns_ = 0, rows_per_strip_ = 1, strips_per_row_ = 1, all_ = 0, count_ = 0;
};

/// Tries every pair, of which `a` is an original and `b` MXFP4, both of one shape with K % 32 = 0: one result
/// per pair.
std::vector<Trial> try_rules(const std::vector<Matched::Pair>& pairs, Pass& pass);

/// Bytes that try_rules() will announce as read, for Pass::expect.
std::uint64_t sample_bytes(const Matched::Pair& pair);

}  // namespace mxfp4::job
