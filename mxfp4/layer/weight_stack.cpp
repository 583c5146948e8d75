#include <algorithm>
#include <new>
#include <stdexcept>
#include <utility>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/base/parallel.h"
#include "mxfp4/layer/weight_stack_internal.h"
#include "mxfp4/tensor/shape.h"

namespace mxfp4 {
namespace {

using kernel::kGroupRows;

/// Rows of all matrices, cut into strips of whole groups, none across two matrices.
struct Strips {
  std::size_t rows, length, per_matrix, count;

  Strips(std::size_t matrices, std::size_t rows_each, std::size_t strip)
      : rows(rows_each),
        length(strip),
        per_matrix((rows + length - 1) / length),
        count(matrices * per_matrix) {}
  std::size_t matrix(std::size_t strip) const noexcept { return strip / per_matrix; }
  std::size_t first(std::size_t strip) const noexcept { return strip % per_matrix * length; }
  std::size_t size(std::size_t strip) const noexcept { return std::min(length, rows - first(strip)); }
};

/// How the scales of matrices differ from block to block: sums over strips, added in the order of the strips.
class SpreadSums {
 public:
  SpreadSums(const Strips& strips, std::size_t blocks)
      : strips_(strips), blocks_(blocks), sums_(strips.count * 2 * blocks) {}

  void add(const kernel::LinearOps& ops, const Mxfp4View& matrix, std::size_t strip) {
    float* const means = sums_.data() + strip * 2 * blocks_;
    ops.add_spread({matrix.codes, matrix.scales, blocks_, strips_.first(strip), strips_.size(strip), means,
                    means + blocks_});
  }
  /// Means over the rows of a matrix, then squares.
  std::vector<float> of_matrix(std::size_t matrix) const {
    std::vector<double> total(2 * blocks_);
    const std::size_t begin = matrix * strips_.per_matrix * total.size(),
                      end = begin + strips_.per_matrix * total.size();
    for (std::size_t i = begin; i < end; ++i) total[i % total.size()] += static_cast<double>(sums_[i]);
    std::vector<float> means;
    for (const double sum : total) {
      means.push_back(static_cast<float>(sum / static_cast<double>(strips_.rows)));
    }
    return means;
  }

 private:
  const Strips& strips_;
  std::size_t blocks_;
  std::vector<float> sums_;
};

/// What every matrix keeps to: the smallest means and the largest squares of any.
class Envelope {
 public:
  Envelope(std::vector<float>& means, std::vector<float>& squares, float& mean_square)
      : means_(means), squares_(squares), mean_square_(mean_square) {}

  void add(const std::vector<float>& of_matrix) {
    const auto middle = of_matrix.begin() + static_cast<std::ptrdiff_t>(of_matrix.size() / 2);
    if (of_matrix.empty()) return;
    double sum = 0;
    for (auto square = middle; square != of_matrix.end(); ++square) sum += static_cast<double>(*square);
    const auto mean_square = static_cast<float>(sum / static_cast<double>(of_matrix.end() - middle));
    if (means_.empty()) {
      means_.assign(of_matrix.begin(), middle);
      squares_.assign(middle, of_matrix.end());
      mean_square_ = mean_square;
      return;
    }
    for (std::size_t b = 0; b < means_.size(); ++b) {
      means_[b] = std::min(means_[b], of_matrix[b]);
      squares_[b] = std::max(squares_[b], of_matrix[means_.size() + b]);
    }
    mean_square_ = std::max(mean_square_, mean_square);
  }

 private:
  std::vector<float>&means_, &squares_;
  float& mean_square_;
};

}  // namespace

WeightStack::WeightStack(const std::string& who, std::vector<Mxfp4View> matrices, std::vector<float> bias,
                         const LayerOptions& options)
    : matrices_(std::move(matrices)),
      bias_(std::move(bias)),
      isa_(options.context.isa),
      packed_(options.pack) {
  check(who, options.context.isa);
  if (matrices_.empty()) return;
  const Shape& shape = matrices_.front().shape;
  rows_ = static_cast<std::size_t>(shape[0]);
  columns_ = static_cast<std::size_t>(shape[1]);
  order_ = matrices_.front().order;
  const auto no_memory = [&] {
    const std::string what = count() == 1 ? "a weight" : fmt::format("{} weights", count());
    fail(ErrorCode::out_of_memory, "{}: no memory for {} of shape {}", who, what, to_string(shape));
  };
  try {
    packed_ ? pack(options) : inspect(options.context);
  } catch (const std::bad_alloc&) {
    no_memory();
  } catch (const std::length_error&) {
    no_memory();
  }
}

void WeightStack::check(const std::string& who, Isa isa) const {
  for (std::size_t i = 0; i < count(); ++i) {
    const Mxfp4View& matrix = matrices_[i];
    const std::string what = count() == 1 ? "the weight" : fmt::format("weight {}", i);
    if (matrix.shape.size() != 2) {
      fail(ErrorCode::invalid_argument, "{}: {} has shape {}, not [N, K]", who, what,
           to_string(matrix.shape));
    }
    if (!byte_size(Dtype::u8, matrix.shape)) {
      fail(ErrorCode::invalid_argument, "{}: {} has shape {}: a size is negative, or the product overflows",
           who, what, to_string(matrix.shape));
    }
    if (matrix.block_size != kBlockSize) {
      fail(ErrorCode::invalid_argument, "{}: {} is in blocks of {}, not {}", who, what, matrix.block_size,
           kBlockSize);
    }
    const Mxfp4View& first = matrices_.front();
    if (matrix.shape != first.shape) {
      fail(ErrorCode::invalid_argument, "{}: {} has shape {}, not {} as the first", who, what,
           to_string(matrix.shape), to_string(first.shape));
    }
    if (matrix.order != first.order) {
      fail(ErrorCode::invalid_argument, "{}: {} has its nibbles in another order than the first", who, what);
    }
  }
  if (!matrices_.empty() && !bias_.empty()) {
    const auto needed = static_cast<std::size_t>(matrices_.front().shape[0]) * count();
    if (bias_.size() != needed) {
      fail(ErrorCode::invalid_argument, "{}: {} biases for {} rows", who, bias_.size(), needed);
    }
  }
  if (!supported(isa)) {
    fail(ErrorCode::unsupported, "{}: this machine lacks what {} needs", who, to_string(isa));
  }
}

void WeightStack::pack(const LayerOptions& options) {
  constexpr std::size_t kStripBytes = 1 << 20;
  const std::size_t group_bytes = ops().group_bytes(blocks());
  infos_.resize(count() * groups());
  bytes_ = infos_.size() * group_bytes;
  memory_ = AlignedMemory(bytes_);
  const std::size_t step = std::max<std::size_t>(1, kStripBytes / std::max<std::size_t>(group_bytes, 1));
  const Strips strips(count(), rows_, step * kGroupRows);
  SpreadSums spread(strips, blocks());
  parallel_for(options.context, strips.count, [&](int, std::size_t strip) {
    const Mxfp4View& matrix = matrices_[strips.matrix(strip)];
    const std::size_t row = strips.first(strip), rows = strips.size(strip), group = row / kGroupRows;
    const std::size_t place = strips.matrix(strip) * groups() + group;
    spread.add(ops(), matrix, strip);
    ops().pack({matrix.codes, matrix.scales, rows_, blocks(), group, (rows + kGroupRows - 1) / kGroupRows,
                memory_.data() + place * group_bytes, infos_.data() + place});
    if (options.done_with) {
      options.done_with({matrix.codes + row * blocks() * 16, rows * blocks() * 16});
      options.done_with({matrix.scales + row * blocks(), rows * blocks()});
    }
  });
  Envelope envelope(means_, squares_, mean_square_);
  for (std::size_t i = 0; i < count() && rows_ > 0; ++i) envelope.add(spread.of_matrix(i));
  for (const kernel::GroupInfo& info : infos_) wide_ = wide_ || info.wide;
  for (Mxfp4View& matrix : matrices_) matrix = {};  // they may be gone from now on
}

void WeightStack::inspect(const Context& context) {
  constexpr std::size_t kStrip = 1024;  // rows
  odd_.resize(count() * rows_);
  const Strips strips(count(), rows_, kStrip);
  SpreadSums spread(strips, blocks());
  std::vector<std::uint8_t> odd_strips(strips.count);
  parallel_for(context, strips.count, [&](int, std::size_t strip) {
    const std::size_t i = strips.matrix(strip);
    spread.add(ops(), matrices_[i], strip);
    odd_strips[strip] =
        ops().inspect_rows({matrices_[i].codes, matrices_[i].scales, blocks(), strips.first(strip),
                            strips.size(strip), odd_.data() + i * rows_});
  });
  Envelope envelope(means_, squares_, mean_square_);
  for (std::size_t i = 0; i < count() && rows_ > 0; ++i) envelope.add(spread.of_matrix(i));
  for (const std::uint8_t strip : odd_strips) wide_ = wide_ || strip != 0;
  if (!wide_) odd_ = {};
}

std::size_t WeightStack::memory() const noexcept {
  const std::size_t floats = means_.size() + squares_.size() + bias_.size();
  return bytes_ + infos_.size() * sizeof(kernel::GroupInfo) + odd_.size() + floats * sizeof(float);
}

kernel::TokenPlan WeightStack::plan(const float* x, Activation activation) const noexcept {
  // Too few outputs for their root mean square to be near what is expected of it, or scales too far apart.
  const bool as_floats = wide_ || rows_ < kGroupRows;
  return ops().plan({x, blocks(), activation, {means_.data(), squares_.data(), mean_square_}, as_floats});
}

std::size_t WeightStack::record_bytes(kernel::TokenFormat format) const noexcept {
  return (packed_ ? ops().record_bytes : ops().row_record_bytes)(format, blocks());
}

void WeightStack::encode(const float* x, Activation activation, const kernel::TokenPlan& plan,
                         std::byte* record) const noexcept {
  (packed_ ? ops().encode : ops().encode_for_rows)({x, blocks(), activation, order_, plan, record});
}

std::size_t WeightStack::unit(std::size_t tokens) const noexcept {
  return packed_ ? ops().preferred_groups(tokens) : 1;
}

std::size_t WeightStack::scratch_bytes(std::size_t tokens) const noexcept {
  return packed_ ? whole_lines(ops().scratch_bytes(tokens)) : 0;
}

void WeightStack::multiply(std::size_t matrix, std::size_t first, std::size_t groups_here,
                           const kernel::Token* tokens, std::size_t token_count, const kernel::Outputs& out,
                           std::byte* scratch) const noexcept {
  const float* const bias = bias_.empty() ? nullptr : bias_.data() + matrix * rows_;
  if (packed_) {
    const std::size_t place = matrix * groups();
    return ops().multiply({memory_.data() + place * ops().group_bytes(blocks()), infos_.data() + place, rows_,
                           blocks(), first, groups_here, tokens, token_count, bias, out, scratch});
  }
  const std::size_t row = first * kGroupRows;
  ops().multiply_rows({matrices_[matrix].codes, matrices_[matrix].scales,
                       odd_.empty() ? nullptr : odd_.data() + matrix * rows_, blocks(), row,
                       std::min(groups_here * kGroupRows, rows_ - row), tokens, token_count, bias, out});
}

}  // namespace mxfp4
