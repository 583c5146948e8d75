#include <algorithm>
#include <new>
#include <stdexcept>
#include <utility>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/base/parallel.h"
#include "mxfp4/layer/weight_stack_internal.h"
#include "mxfp4/layer/workspace_internal.h"
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

/// Of rows at about even distances: of all rows if they are few. They are not the multiples of any number,
/// which may be special: gates, or the first of a head. Rows of zeros have no error and do not count.
Spread spread_of(const kernel::LinearOps& ops, const Mxfp4View& matrix, std::size_t rows,
                 std::size_t blocks) {
  constexpr std::size_t kSamples = 256;
  const std::size_t samples = std::min(rows, kSamples);
  Spread spread = {std::vector<float>(blocks), std::vector<float>(blocks)};
  std::vector<std::uint8_t> counts(blocks);
  float counted = 0, plain = 0, filled = 0;
  for (std::size_t i = 0; i < samples; ++i) {
    const std::size_t first = rows * i / samples, end = rows * (i + 1) / samples;
    const std::size_t row = first + (i * 0x9E3779B9 >> 8) % (end - first);
    const float square = ops.add_spread({matrix.codes + row * blocks * 16, matrix.scales + row * blocks,
                                         blocks, spread.means.data(), spread.squares.data(), counts.data()});
    plain += square;
    counted += square > 0 ? 1.0f : 0.0f;
  }
  if (counted == 0) return {};
  for (std::size_t b = 0; b < blocks; ++b) {
    spread.means[b] /= counted;
    spread.squares[b] /= counted;
    filled += spread.squares[b] / static_cast<float>(blocks);
  }
  spread.mean_square = filled;
  spread.fill = filled * counted / plain;
  return spread;
}

}  // namespace

void Spread::widen(const Spread& other) {
  if (other.means.empty()) return;  // zeros only
  if (means.empty()) {
    *this = other;
    return;
  }
  for (std::size_t b = 0; b < means.size(); ++b) {
    means[b] = std::min(means[b], other.means[b]);
    squares[b] = std::max(squares[b], other.squares[b]);
  }
  mean_square = std::max(mean_square, other.mean_square);
  fill = std::min(fill, other.fill);
}

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
    if (options.context.device.is_cpu()) packed_ ? pack(options) : inspect(options.context);
    spread_.means.resize(blocks());  // of zeros only there is none
    spread_.squares.resize(blocks());
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

void WeightStack::sample_spread(const Context& context, std::size_t begin, std::size_t end) {
  std::vector<Spread> spreads(end - begin);
  parallel_for(context, spreads.size(), [&](int, std::size_t i) {
    spreads[i] = spread_of(ops(), matrices_[begin + i], rows_, blocks());
  });
  for (const Spread& spread : spreads) spread_.widen(spread);
}

void WeightStack::pack(const LayerOptions& options) {
  constexpr std::size_t kStripBytes = 1 << 20;
  const std::size_t group_bytes = ops().group_bytes(blocks());
  infos_.resize(count() * groups());
  bytes_ = infos_.size() * group_bytes;
  memory_ = WeightMemory(bytes_);
  const std::size_t step = std::max<std::size_t>(1, kStripBytes / std::max<std::size_t>(group_bytes, 1));
  const Strips strips(count(), rows_, step * kGroupRows);
  const auto pack_strip = [&](std::size_t strip) {
    const Mxfp4View& matrix = matrices_[strips.matrix(strip)];
    const std::size_t row = strips.first(strip), rows = strips.size(strip), group = row / kGroupRows;
    const std::size_t place = strips.matrix(strip) * groups() + group;
    ops().pack({matrix.codes, matrix.scales, rows_, blocks(), group, (rows + kGroupRows - 1) / kGroupRows,
                memory_.data() + place * group_bytes, infos_.data() + place});
    if (options.done_with) {
      options.done_with({matrix.codes + row * blocks() * 16, rows * blocks() * 16});
      options.done_with({matrix.scales + row * blocks(), rows * blocks()});
    }
  };
  // Samples touch most pages of a matrix: only a few matrices at a time wait for being packed.
  const auto at_once = static_cast<std::size_t>(std::max(options.context.threads, 1));
  for (std::size_t begin = 0; begin < count(); begin += at_once) {
    const std::size_t end = std::min(begin + at_once, count()), first = begin * strips.per_matrix;
    sample_spread(options.context, begin, end);
    parallel_for(options.context, (end - begin) * strips.per_matrix,
                 [&](int, std::size_t strip) { pack_strip(first + strip); });
  }
  for (const kernel::GroupInfo& info : infos_) wide_ = wide_ || info.wide;
  for (Mxfp4View& matrix : matrices_) matrix = {};  // they may be gone from now on
}

void WeightStack::inspect(const Context& context) {
  constexpr std::size_t kStrip = 1024;  // rows
  odd_.resize(count() * rows_);
  sample_spread(context, 0, count());
  const Strips strips(count(), rows_, kStrip);
  std::vector<std::uint8_t> odd_strips(strips.count);
  parallel_for(context, strips.count, [&](int, std::size_t strip) {
    const std::size_t i = strips.matrix(strip);
    odd_strips[strip] =
        ops().inspect_rows({matrices_[i].codes, matrices_[i].scales, blocks(), strips.first(strip),
                            strips.size(strip), odd_.data() + i * rows_});
  });
  for (const std::uint8_t strip : odd_strips) wide_ = wide_ || strip != 0;
  if (!wide_) odd_ = {};
}

std::size_t WeightStack::memory() const noexcept {
  const std::size_t floats = spread_.means.size() + spread_.squares.size() + bias_.size();
  return bytes_ + infos_.size() * sizeof(kernel::GroupInfo) + odd_.size() + floats * sizeof(float);
}

kernel::DeviceMatrices WeightStack::for_device(const LayerOptions& options) const {
  return {matrices_, bias_, options.done_with};
}

void WeightStack::give_up() noexcept {
  for (Mxfp4View& matrix : matrices_) matrix = {};
  bias_ = {};
}

void WeightStack::plan_for(const WeightStack& other) {
  spread_.widen(other.spread_);
  wide_ = wide_ || other.wide_;
}

std::vector<float> WeightStack::plan_numbers() const {
  std::vector<float> numbers = {wide_ ? 1.0f : 0.0f, spread_.mean_square, spread_.fill};
  numbers.insert(numbers.end(), spread_.means.begin(), spread_.means.end());
  numbers.insert(numbers.end(), spread_.squares.begin(), spread_.squares.end());
  return numbers;
}

void WeightStack::plan_for(std::span<const float> numbers) {
  const auto values = numbers.subspan(3);
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(blocks());
  const auto is_zero = [](float value) { return value == 0; };
  wide_ = wide_ || numbers[0] != 0;
  if (std::all_of(values.begin(), values.end(), is_zero)) return;  // zeros only
  const Spread other{{values.begin(), middle}, {middle, values.end()}, numbers[1], numbers[2]};
  const bool none = std::all_of(spread_.squares.begin(), spread_.squares.end(), is_zero) &&
                    std::all_of(spread_.means.begin(), spread_.means.end(), is_zero);
  if (none) spread_.means.clear();
  spread_.widen(other);
}

kernel::TokenPlan WeightStack::plan(const float* x, Activation activation) const noexcept {
  // Too few outputs for their root mean square to be near what is expected of it, or scales too far apart.
  const bool as_floats = wide_ || rows_ < kGroupRows;
  const kernel::WeightSpread spread = {spread_.means.data(), spread_.squares.data(), spread_.mean_square,
                                       spread_.fill};
  return ops().plan({x, blocks(), activation, spread, as_floats});
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
