// What `mxfp4 bench` can measure: each takes the options and gives one report.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "mxfp4/cli/console.h"
#include "mxfp4/cli/table.h"
#include "mxfp4/codec/block.h"
#include "mxfp4/comm/communicator.h"
#include "mxfp4/comm/shard.h"
#include "mxfp4/kernel/linear_ops.h"
#include "mxfp4/tensor/dtype.h"

namespace mxfp4::cli {

/// In the order of kernel::Activation.
inline constexpr std::array kActivations = {"exact", "int8", "mxfp8"};

struct BenchOptions {
  std::int64_t rows = 0, columns = 0;  ///< of the matrix; 0: as the kind sees fit
  std::string dtype;                   ///< of dense elements; empty: as the kind sees fit
  Recipe recipe = {};
  std::int64_t tokens = 1;
  kernel::Activation activation = kernel::Activation::exact;
  bool outliers = false;  ///< some channels of the activations are a thousand times larger
  bool packed = true;     ///< or the weights are used where they lie
  std::string like;       ///< the model whose layer is meant
  int threads = 1;
  Communicator* ranks = nullptr;  ///< those that run this together; null for one
  std::string share = "experts";  ///< what they share, "experts" or "channels"
};

/// Of the dense dtypes that have kernels: "f32", "bf16", "f16".
Dtype dense_dtype(const std::string& name) noexcept;
void write_element(float x, Dtype dtype, std::byte* to) noexcept;

/// The models that bench_experts knows.
std::vector<std::string> models_of_experts();

struct BenchReport {
  Json json;  ///< results and limits
  Table table;
  std::vector<std::string> warnings;
};

BenchReport bench_quantize(const BenchOptions& options);
BenchReport bench_dequantize(const BenchOptions& options);
BenchReport bench_linear(const BenchOptions& options);
BenchReport bench_experts(const BenchOptions& options);
/// Who has what of the experts. Throws Error invalid_argument where there is too little for so many ranks.
ShardPlan bench_shards(const BenchOptions& options, int ranks);
BenchReport bench_sharded_experts(const BenchOptions& options);
BenchReport bench_pack(const BenchOptions& options);

}  // namespace mxfp4::cli
