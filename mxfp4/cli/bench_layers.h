// What benchmarks of layers share: what goes in and comes out, and how a time becomes a report.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "mxfp4/cli/bench_kinds.h"
#include "mxfp4/cli/bench_limits.h"
#include "mxfp4/cli/bench_turns.h"
#include "mxfp4/layer/options.h"
#include "mxfp4/tensor/view.h"

namespace mxfp4::cli {

/// Gaussian rows of `columns` elements, and memory for rows of `outputs`, both of the options' dtype (F32 if
/// they do not say).
struct BenchTokens {
  BenchTokens(const BenchOptions& options, std::size_t columns, std::size_t outputs);

  std::size_t tokens;
  Dtype dtype;
  std::size_t element_bytes;
  Buffer in, out;
  DenseView x, y;
};

/// Of so many rows or tokens, at most `most` at even distances, the last among them.
std::vector<std::size_t> evenly_spaced(std::size_t count, std::size_t most);

/// How far outputs y = sum of w * x lie from a reference in double precision.
class OutputErrors {
 public:
  void add(double y, double reference, double magnitude);
  double relative() const;  ///< rms((y - ref) / sum |w * x|)
  double norm() const;      ///< rms(y - ref) / rms(ref)

 private:
  double relative_ = 0, difference_ = 0, reference_ = 0, count_ = 0;
};

/// A layer that was timed.
struct BenchedLayer {
  Json json;         ///< what it was, which the figures are added to
  std::string name;  ///< of its row
  double bytes = 0;  ///< of the weights that it reads
  Timed timed;       ///< its work: operations
  OutputErrors errors;
};

/// Its rates, and how much of the roofline they are.
BenchReport layer_report(const BenchOptions& options, const BenchedLayer& layer, const Limits& limits);

}  // namespace mxfp4::cli
