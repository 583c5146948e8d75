#include "mxfp4/layer/shard_weights.h"

#include <algorithm>
#include <cstring>

#include "mxfp4/base/fail_internal.h"

namespace mxfp4 {
namespace {

/// Rows or columns [begin, end) of all, and how many there will be.
struct Range {
  std::int64_t begin, end, padded;
  std::int64_t size() const noexcept { return end - begin; }
};

class Cutter {
 public:
  Cutter(const std::vector<std::int32_t>& experts, WeightShard& shard) : experts_(experts), shard_(shard) {}

  ExpertMatrices rows(const ExpertMatrices& all, const Range& range) {
    ExpertMatrices part = chosen(all);
    if (part.weights.empty()) return part;
    part = rows_of_each(part, range.begin, range.size());
    if (range.padded > range.size()) {
      for (Mxfp4View& matrix : part.weights) matrix = copied(matrix, range.padded, 0, matrix.shape[1], 0);
    }
    if (all.bias.rank() > 0) bias(all.bias, range, part);
    return part;
  }

  ExpertMatrices columns(const ExpertMatrices& all, const Range& range, bool with_bias) {
    ExpertMatrices part = chosen(all);
    const bool whole = range.size() == part.weights.front().shape[1] && range.padded == range.size();
    for (Mxfp4View& matrix : part.weights) {
      if (!whole) matrix = copied(matrix, matrix.shape[0], range.begin, range.size(), range.padded);
    }
    const std::int64_t rows = part.weights.front().shape[0];
    if (all.bias.rank() > 0 && with_bias) bias(all.bias, {0, rows, rows}, part);
    return part;
  }

 private:
  ExpertMatrices chosen(const ExpertMatrices& all) const {
    ExpertMatrices part;
    for (const std::int32_t expert : experts_) {
      if (!all.weights.empty()) part.weights.push_back(all.weights[static_cast<std::size_t>(expert)]);
    }
    return part;
  }

  /// Columns [first, first + count) of a matrix, and zeros up to `rows` and `padded` columns.
  Mxfp4View copied(const Mxfp4View& from, std::int64_t rows, std::int64_t first, std::int64_t count,
                   std::int64_t padded) {
    Mxfp4View to = from;
    to.shape = {rows, std::max(count, padded)};
    std::vector<std::uint8_t>& memory =
        shard_.bytes.emplace_back(static_cast<std::size_t>(to.code_bytes() + to.scale_bytes()));
    std::uint8_t *code = memory.data(), *scale = code + to.code_bytes();
    to.codes = code;
    to.scales = scale;
    const auto blocks = static_cast<std::size_t>((count + kBlockSize - 1) / kBlockSize);
    for (std::int64_t row = 0; row < from.shape[0]; ++row) {
      const std::int64_t place = row * from.blocks_per_row() + first / kBlockSize;
      std::memcpy(code, from.codes + place * (kBlockSize / 2), blocks * (kBlockSize / 2));
      std::memcpy(scale, from.scales + place, blocks);
      code += to.blocks_per_row() * (kBlockSize / 2);
      scale += to.blocks_per_row();
    }
    return to;
  }

  void bias(const DenseView& all, const Range& range, ExpertMatrices& part) {
    std::vector<float>& values =
        shard_.biases.emplace_back(experts_.size() * static_cast<std::size_t>(range.padded));
    float* to = values.data();
    for (const std::int32_t expert : experts_) {
      const DenseView row = all.slice(0, expert, expert + 1).slice(1, range.begin, range.end);
      copy_rows_f32(row, 0, 1, to);
      to += range.padded;
    }
    part.bias =
        dense_view(values.data(), Dtype::f32, {static_cast<std::int64_t>(experts_.size()), range.padded});
  }

  const std::vector<std::int32_t>& experts_;
  WeightShard& shard_;
};

}  // namespace

std::optional<WeightShard> shard_weights(const ExpertWeights& all, const ShardPlan& plan, int rank) {
  const auto count = static_cast<std::int64_t>(all.down.weights.size());
  if (count != plan.experts.experts()) {
    fail(ErrorCode::invalid_argument, "a plan for {} experts, but there are {}", plan.experts.experts(),
         count);
  }
  const std::vector<std::int32_t>& experts = plan.experts.held(plan.group(rank));
  if (experts.empty()) return std::nullopt;
  const Shape& down = all.down.weights.front().shape;
  if (down.size() != 2) fail(ErrorCode::invalid_argument, "experts: down has shape {}", to_string(down));
  const TensorShard cut =
      plan.tensor == 1
          ? TensorShard{0, down[1], down[1]}
          : cut_channels(down[1], plan.tensor, plan.multiple)[static_cast<std::size_t>(plan.member(rank))];
  WeightShard shard;
  Cutter cutter(experts, shard);
  const Range channels{cut.begin, cut.end, cut.padded};
  shard.weights.gate_up = cutter.rows(all.gate_up, {2 * cut.begin, 2 * cut.end, 2 * cut.padded});
  shard.weights.gate = cutter.rows(all.gate, channels);
  shard.weights.up = cutter.rows(all.up, channels);
  shard.weights.down = cutter.columns(all.down, channels, plan.member(rank) == 0);
  shard.weights.unit.clear();
  for (const std::int32_t expert : experts) {
    const std::size_t unit = all.unit.size() == 1 ? 0 : static_cast<std::size_t>(expert);
    if (unit < all.unit.size()) shard.weights.unit.push_back(all.unit[unit]);
  }
  return shard;
}

}  // namespace mxfp4
