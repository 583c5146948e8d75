// How fast quantise and dequantise are, beside passes over the same memory that compute nothing.
#pragma once

#include <string>
#include <vector>

#include "mxfp4/codec/block.h"
#include "mxfp4/tensor/dtype.h"

namespace mxfp4::cli {

struct CodecBench {
  std::int64_t rows = 8192, columns = 8192;
  Dtype dtype = Dtype::bf16;  ///< of the dense side
  Recipe recipe = {};
  int threads = 1;
};

/// Medians over interleaved rounds, in seconds.
struct Timing {
  std::string name;
  double seconds = 0;
};

struct CodecTimings {
  double dense_bytes = 0;
  std::vector<Timing> cases;
  std::vector<Timing> limits;  ///< at least one; all read and write what a case does

  const Timing& limit() const noexcept;  ///< the fastest
};

CodecTimings time_quantize(const CodecBench& bench);
CodecTimings time_dequantize(const CodecBench& bench);

}  // namespace mxfp4::cli
