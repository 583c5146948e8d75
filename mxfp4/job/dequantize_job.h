// Expand a whole MXFP4 checkpoint to BF16, F16 or F32.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "mxfp4/job/progress.h"
#include "mxfp4/tensor/dtype.h"
#include "mxfp4/tensor/shape.h"

namespace mxfp4::job {

struct DequantizeRequest {
  std::filesystem::path in, out;  ///< both directories, or both .safetensors files
  std::optional<Dtype> dtype;     ///< of the expanded weights; none: the config's, else BF16
  Options options;
};

struct DequantizedTensor {
  std::string name;  ///< in OUT
  bool dequantized = false;
  Dtype dtype = Dtype::bf16;
  Shape shape;  ///< in OUT
};

struct DequantizeReport {
  std::string convention;  ///< of IN
  Dtype dtype = Dtype::bf16;
  std::vector<DequantizedTensor> tensors;
  std::uint64_t bytes_in = 0, bytes_out = 0;
  std::vector<std::string> files, left_behind;
  double seconds = 0;
  std::uint64_t peak_memory = 0;
};

/// Throws like run_quantize; Error invalid_argument if IN holds no MXFP4 weight.
DequantizeReport run_dequantize(const DequantizeRequest& request);

}  // namespace mxfp4::job
