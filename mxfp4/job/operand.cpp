#include <algorithm>
#include <string_view>
#include <unordered_map>
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

Operand::Operand(const Checkpoint& checkpoint, const Piece& piece) : Operand(checkpoint, *piece.weight) {
  name_ = piece.name;
  shape_ = piece.shape;
  dense_ = piece.dense;
  first_row_ = piece.first_row;
  row_step_ = piece.row_step;
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

namespace {

// The pieces of the weights that have no partner of their own name.
std::vector<Piece> pieces_left(const Checkpoint& checkpoint, const std::unordered_set<const Weight*>& used) {
  std::vector<Piece> pieces = pieces_of(checkpoint);
  std::erase_if(pieces, [&](const Piece& piece) { return used.count(piece.weight) > 0; });
  return pieces;
}

// Of a weight none of whose pieces has a partner, the weight; of others, the pieces.
void add_lonely(const Checkpoint& checkpoint, const std::vector<Piece>& pieces,
                const std::unordered_set<std::string_view>& matched, std::vector<Operand>& lonely) {
  std::unordered_set<const Weight*> in_part, told;
  for (const Piece& piece : pieces) {
    if (matched.count(piece.name) > 0) in_part.insert(piece.weight);
  }
  for (const Piece& piece : pieces) {
    if (matched.count(piece.name) > 0) continue;
    if (in_part.count(piece.weight) > 0) {
      lonely.emplace_back(checkpoint, piece);
    } else if (told.insert(piece.weight).second) {
      lonely.emplace_back(checkpoint, *piece.weight);
    }
  }
}

}  // namespace

Matched match_weights(const Checkpoint& a, const Checkpoint& b) {
  Matched matched;
  std::unordered_set<const Weight*> used;
  for (const Weight& weight : a.weights) {
    const Weight* const partner = b.find(weight.name);
    if (partner == nullptr) continue;
    used.insert({&weight, partner});
    Matched::Pair pair{Operand(a, weight), Operand(b, *partner)};
    pair.a.orient_like(pair.b);
    pair.b.orient_like(pair.a);
    matched.pairs.push_back(std::move(pair));
  }
  const std::vector<Piece> left_a = pieces_left(a, used), left_b = pieces_left(b, used);
  std::unordered_map<std::string_view, const Piece*> by_name;
  for (const Piece& piece : left_b) by_name.emplace(piece.name, &piece);
  std::unordered_set<std::string_view> found;
  for (const Piece& piece : left_a) {
    const auto partner = by_name.find(piece.name);
    if (partner == by_name.end()) continue;
    found.insert(piece.name);
    matched.pairs.push_back({Operand(a, piece), Operand(b, *partner->second)});
  }
  add_lonely(a, left_a, found, matched.only_a);
  add_lonely(b, left_b, found, matched.only_b);
  return matched;
}

}  // namespace mxfp4::job
