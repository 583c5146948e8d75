#include "mxfp4/cli/bench_weights.h"

#include <algorithm>
#include <cstring>
#include <random>

#include <fmt/format.h>

#include "mxfp4/base/error.h"
#include "mxfp4/quantize/quantize.h"

namespace mxfp4::cli {
namespace {

constexpr std::int64_t kDefault = 4096;
constexpr std::size_t kLeastBytes = 1024;  // whole lines for every way to read them
constexpr std::size_t kPeriod = 32749;     // blocks of distinct weights: a prime, so that rows differ

std::size_t or_default(std::int64_t size) {
  return static_cast<std::size_t>(size == 0 ? kDefault : size);
}

}  // namespace

void fill_with_weights(std::byte* out, std::size_t blocks) {
  std::mt19937_64 random(1);
  std::normal_distribution<float> normal(0.0f, 0.02f);
  std::vector<float> dense(std::min(kPeriod, blocks) * 32);
  for (float& x : dense) x = normal(random);
  const auto count = static_cast<std::int64_t>(dense.size());
  const Mxfp4Tensor period = quantize(dense_view(dense.data(), Dtype::f32, {count}));
  for (std::size_t block = 0; block < blocks; ++block) {
    const std::size_t from = block % period.scales.size();
    std::memcpy(out + block * 16, period.codes.data() + from * 16, 16);
    std::memcpy(out + blocks * 16 + block, period.scales.data() + from, 1);
  }
}

BenchWeights::BenchWeights(const BenchOptions& options, std::size_t buffers)
    : rows(or_default(options.rows)),
      columns(or_default(options.columns)),
      blocks((columns + 31) / 32),
      rotation(bytes(), buffers) {
  if (bytes() < kLeastBytes) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("bench: a weight of {} x {} has {} bytes; {} or more can be timed", rows, columns,
                            bytes(), kLeastBytes));
  }
  fill_with_weights(rotation.copy(0), rows * blocks);
  for (std::size_t copy = 1; copy < rotation.copies(); ++copy) {
    std::memcpy(rotation.copy(copy), rotation.copy(0), bytes());
  }
}

Mxfp4View BenchWeights::view(std::size_t copy) const {
  return {codes(copy), scales(copy), {static_cast<std::int64_t>(rows), static_cast<std::int64_t>(columns)}};
}

std::vector<float> BenchWeights::row(std::size_t index) const {
  std::vector<float> values(columns);
  dequantize({codes(0, index), scales(0, index), {1, static_cast<std::int64_t>(columns)}}, Dtype::f32,
             values.data());
  return values;
}

}  // namespace mxfp4::cli
