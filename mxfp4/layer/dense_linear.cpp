#include "mxfp4/layer/dense_linear.h"

#include <algorithm>
#include <bit>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/base/parallel.h"
#include "mxfp4/codec/float16.h"
#include "mxfp4/kernel/expert_ops.h"
#include "mxfp4/layer/arguments_internal.h"

namespace mxfp4 {

DenseLinear::DenseLinear(const char* who, const DenseView& weight, const DenseView& bias) : who_(who) {
  if (weight.rank() != 2 || weight.shape[0] == 0) {
    fail(ErrorCode::invalid_argument, "{}: the weight has shape {}, not [N, K]", who,
         to_string(weight.shape));
  }
  check_float(who, "the weight", weight.dtype);
  rows_ = weight.shape[0];
  columns_ = weight.shape[1];
  if (bias.rank() != 0) {
    check_float(who, "the bias", bias.dtype);
    if (bias.shape != Shape{rows_}) {
      fail(ErrorCode::invalid_argument, "{}: the bias has shape {}, not [{}]", who, to_string(bias.shape),
           rows_);
    }
    bias_ = floats_of(bias);
  }
  floats_ = floats_of(weight);
  constexpr std::uint32_t kLowHalf = 0xFFFF;
  const auto is_bf16 = [](float value) { return (std::bit_cast<std::uint32_t>(value) & kLowHalf) == 0; };
  if (!std::all_of(floats_.begin(), floats_.end(), is_bf16)) return;
  halves_.resize(floats_.size());
  for (std::size_t i = 0; i < floats_.size(); ++i) halves_[i] = f32_to_bf16(floats_[i]);
  floats_ = {};
}

std::size_t DenseLinear::memory() const noexcept {
  return halves_.size() * sizeof(std::uint16_t) + (floats_.size() + bias_.size()) * sizeof(float);
}

std::vector<float> DenseLinear::weight() const {
  std::vector<float> values = floats_;
  values.reserve(halves_.size());
  for (const std::uint16_t half : halves_) values.push_back(bf16_to_f32(half));
  return values;
}

void DenseLinear::forward(const DenseView& x, float* y, int threads) const {
  check_input(who_, x, columns_);
  constexpr std::size_t kTokens = 32, kTileBytes = 128 << 10;  // a tile of the weight stays in the L2 cache
  constexpr std::size_t kItem = 1 << 16;                       // multiplications worth waking a thread for
  const auto columns = static_cast<std::size_t>(columns_), rows = static_cast<std::size_t>(rows_);
  const std::size_t tokens = rows_of(x), pieces = (tokens + kTokens - 1) / kTokens;
  const std::size_t tile = std::clamp<std::size_t>(kTileBytes / sizeof(float) / (columns + 1), 4, 32);
  const std::size_t tiles = (rows + tile - 1) / tile;
  const Context context = context_for(threads, isa_, tokens * rows * columns / kItem);
  const std::size_t tile_floats = halves_.empty() ? 0 : tile * columns;
  const float* from = as_floats(x);
  const std::size_t copied = from == nullptr ? tokens * columns : 0;
  const std::size_t floats = copied + static_cast<std::size_t>(context.threads) * tile_floats;
  auto* const memory =
      reinterpret_cast<float*>(memory_of_call(who_, tokens, floats * sizeof(float), Kept::dense));
  if (from == nullptr) {
    parallel_for(context, pieces, [&](int, std::size_t piece) {
      const std::size_t first = piece * kTokens, end = std::min(first + kTokens, tokens);
      copy_rows_f32(x, static_cast<std::int64_t>(first), static_cast<std::int64_t>(end),
                    memory + first * columns);
    });
    from = memory;
  }
  const auto weights = [&](int worker, std::size_t row, std::size_t count) -> const float* {
    if (halves_.empty()) return floats_.data() + row * columns;
    float* const out = memory + copied + static_cast<std::size_t>(worker) * tile_floats;
    const std::uint16_t* const in = halves_.data() + row * columns;
    for (std::size_t i = 0; i < count * columns; ++i) out[i] = bf16_to_f32(in[i]);
    return out;
  };
  // Tile by tile of the weight, so that few threads read it once.
  parallel_for(context, tiles * pieces, [&](int worker, std::size_t item) {
    const std::size_t row = item / pieces * tile, token = item % pieces * kTokens;
    const std::size_t count = std::min(tile, rows - row);
    kernel::cpu_expert_ops(context.isa)
        .dots({from + token * columns, columns, std::min(kTokens, tokens - token),
               weights(worker, row, count), count, columns, bias_.empty() ? nullptr : bias_.data() + row,
               y + token * rows + row, rows});
  });
}

}  // namespace mxfp4
