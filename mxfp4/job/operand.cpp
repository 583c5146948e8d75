#include <algorithm>
#include <unordered_set>

#include "mxfp4/job/compare_internal.h"
#include "mxfp4/job/preflight_internal.h"
#include "mxfp4/kernel/ops.h"

namespace mxfp4::job {

Operand::Operand(const Checkpoint& checkpoint, const Weight& weight)
    : checkpoint_(&checkpoint),
      weight_(&weight),
      name_(weight.name),
      shape_(weight.shape()),
      dense_(weight.dense),
      map_(map_of(checkpoint.files, *weight.stored)) {
  if (weight.dense.data == nullptr && !weight.is_quantized() && weight.other == nullptr)
    shape_ = weight.stored->shape;  // a sub-byte dtype
}

Operand::Operand(const Checkpoint& checkpoint, const Weight& weight, const StackedExperts& experts,
                 std::int64_t expert, const ExpertRows& rows)
    : Operand(checkpoint, weight) {
  name_ = experts.name(expert, rows);
  const std::int64_t all_rows = shape_[1];
  shape_.erase(shape_.begin());
  shape_[0] = (rows.end - rows.begin + rows.step - 1) / rows.step;
  if (weight.is_quantized()) {
    first_row_ = expert * all_rows + rows.begin;
    row_step_ = rows.step;
  } else {
    dense_ = dense_[expert].slice(0, rows.begin, rows.end, rows.step);
  }
}

void Operand::orient_like(const Operand& other) {
  const bool knows = !other.weight_->orientation_unknown;
  if (!weight_->orientation_unknown || !knows || !dense_is_transposed(*other.checkpoint_, *other.weight_))
    return;
  dense_ = dense_.transposed(1, 2);
  shape_ = dense_.shape;
}

bool Operand::numeric() const noexcept {
  return weight_->is_quantized() || weight_->other != nullptr || is_dense_float(weight_->stored->dtype);
}

std::uint64_t Operand::bytes() const noexcept {
  const auto elements = static_cast<std::uint64_t>(element_count(shape_));
  return weight_->is_quantized() ? elements / kBlockSize * (kBlockSize / 2 + 1)
                                 : elements * static_cast<std::uint64_t>(bits_of(weight_->stored->dtype)) / 8;
}

std::string Operand::file() const {
  return checkpoint_->files.file_of(*weight_->stored);
}

void Operand::read(std::int64_t row, std::int64_t row_end, std::int64_t column, std::int64_t column_end,
                   float* out) const {
  if (weight_->other != nullptr) return weight_->other->read(row, row_end, column, column_end, out);
  if (!weight_->is_quantized()) {
    const DenseView view = dense_.rank() == 0 ? dense_view(dense_.data, dense_.dtype, {1})
                                              : dense_.slice(-1, column, column_end);
    return copy_rows_f32(view, row, row_end, out);
  }
  const StoredBlocks& blocks = weight_->quantized;
  const auto expand = [&](std::int64_t first, std::int64_t count, std::int64_t begin, std::int64_t end,
                          std::byte* scratch, float* to) {
    const Mxfp4View rows = blocks.rows(first, count, 1, begin, end, scratch);
    kernel::cpu_ops(default_isa())
        .dequantize({rows.codes, rows.scales, static_cast<std::size_t>(count),
                     static_cast<std::size_t>(end - begin), kBlockSize, rows.order, Dtype::f32, to});
  };
  const bool whole_rows = column == 0 && column_end == blocks.columns();
  if (whole_rows && row_step_ == 1 && blocks.is_plain())
    return expand(first_row_ + row, row_end - row, column, column_end, nullptr, out);
  constexpr std::int64_t kStretch = 2048;
  std::byte scratch[kStretch / kBlockSize * (kBlockSize / 2 + 1)];
  for (; row < row_end; ++row, out += column_end - column) {
    for (std::int64_t begin = column; begin < column_end; begin += kStretch) {
      const std::int64_t end = std::min(begin + kStretch, column_end);
      expand(first_row_ + row * row_step_, 1, begin, end, scratch, out + (begin - column));
    }
  }
}

void Operand::release(std::int64_t row, std::int64_t row_end) const {
  const std::span<const std::byte> stored = weight_->stored->bytes;
  const auto all = static_cast<std::int64_t>(stored.size());
  std::int64_t begin = 0, end = 0;
  if (weight_->is_quantized()) {
    const std::int64_t row_bytes = weight_->quantized.blocks_per_row() * weight_->quantized.code_pitch;
    begin = (first_row_ + row * row_step_) * row_bytes;
    end = (first_row_ + row_end * row_step_) * row_bytes;
  } else if (weight_->other != nullptr) {
    end = 0;  // a small part of a model: its pages may stay
  } else {
    begin = dense_.data - stored.data();
    if (dense_.contiguous()) {
      const std::int64_t row_bytes = (shape_.empty() ? 1 : shape_.back()) * bits_of(dense_.dtype) / 8;
      end = begin + row_end * row_bytes;
      begin += row * row_bytes;
    } else {
      // Every row of a transposed matrix lies on all of its pages: they go when its last row is done.
      const std::int64_t matrix_bytes = all / weight_->stored->shape[0];
      const std::int64_t matrix_rows = dense_.rank() == 3 ? dense_.shape[1] : dense_.shape[0];
      begin = (begin / matrix_bytes + row / matrix_rows) * matrix_bytes;
      end = begin + (row_end / matrix_rows - row / matrix_rows) * matrix_bytes;
    }
  }
  // Behind every second row of an expert's last lies what is not this tensor's.
  end = std::min(end, all);
  if (map_ != nullptr && begin < end) {
    map_->done_with(stored.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin)));
  }
}

Matched match_weights(const Checkpoint& a, const Checkpoint& b) {
  Matched matched;
  std::unordered_set<const Weight*> used;
  // The experts of `stacked` as `other` stores them one by one.
  const auto match_experts = [&](const Checkpoint& checkpoint, const Weight& stacked, const Checkpoint& other,
                                 bool swapped) {
    const std::optional<StackedExperts> experts = stacked_experts(checkpoint, stacked);
    if (!experts || experts->experts == 0 || experts->parts.empty()) return false;
    if (other.find(experts->name(0, experts->parts[0])) == nullptr) return false;
    for (std::int64_t expert = 0; expert < experts->experts; ++expert) {
      for (const ExpertRows& rows : experts->parts) {
        Operand part(checkpoint, stacked, *experts, expert, rows);
        const Weight* const partner = other.find(part.name());
        if (partner == nullptr) {
          (swapped ? matched.only_b : matched.only_a).push_back(std::move(part));
          continue;
        }
        used.insert(partner);
        Operand whole(other, *partner);
        matched.pairs.push_back(swapped ? Matched::Pair{whole, part} : Matched::Pair{part, whole});
      }
    }
    used.insert(&stacked);
    return true;
  };
  for (const Weight& weight : a.weights) {
    if (const Weight* const partner = b.find(weight.name)) {
      used.insert({&weight, partner});
      Matched::Pair pair{Operand(a, weight), Operand(b, *partner)};
      pair.a.orient_like(pair.b);
      pair.b.orient_like(pair.a);
      matched.pairs.push_back(std::move(pair));
    } else {
      match_experts(a, weight, b, false);
    }
  }
  for (const Weight& weight : b.weights) {
    if (used.count(&weight) == 0 && !match_experts(b, weight, a, true)) {
      matched.only_b.push_back(Operand(b, weight));
    }
  }
  for (const Weight& weight : a.weights) {
    if (used.count(&weight) == 0) matched.only_a.push_back(Operand(a, weight));
  }
  return matched;
}

}  // namespace mxfp4::job
