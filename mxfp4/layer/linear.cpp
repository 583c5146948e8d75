#include "mxfp4/layer/linear.h"

#include <algorithm>
#include <new>
#include <stdexcept>
#include <vector>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/base/parallel.h"
#include "mxfp4/layer/tokens_internal.h"
#include "mxfp4/layer/workspace_internal.h"
#include "mxfp4/tensor/shape.h"

namespace mxfp4 {

using kernel::GroupInfo;
using kernel::kGroupRows;

constexpr std::size_t kMostThreads = 1024;

struct Linear::State {
  std::size_t rows = 0;
  WeightTraits traits;
  std::vector<float> bias;
  Isa isa = Isa::scalar;
  AlignedMemory memory;
  std::size_t bytes = 0;
  std::vector<GroupInfo> groups;
  // Where the weight lies if it is not packed, and which rows only the general path can hold: empty if none.
  const std::uint8_t* codes = nullptr;
  const std::uint8_t* scales = nullptr;
  std::vector<std::uint8_t> odd;

  std::size_t group_count() const noexcept { return (rows + kGroupRows - 1) / kGroupRows; }
  const kernel::LinearOps& ops() const noexcept { return kernel::cpu_linear_ops(isa); }
  void pack(const Mxfp4View& weight, const LinearOptions& options);
  void inspect(const Mxfp4View& weight, const Context& context);
  void multiply(const kernel::Token* tokens, std::size_t count, Dtype dtype, std::byte* scratch,
                const Context& context) const;
};

/// Sums over strips of rows, added in the order of the strips.
class SpreadSums {
 public:
  SpreadSums(const Mxfp4View& weight, std::size_t blocks, std::size_t strips)
      : codes_(weight.codes), scales_(weight.scales), blocks_(blocks), sums_(strips * 2 * blocks) {}

  void add(const kernel::LinearOps& ops, std::size_t strip, std::size_t first_row, std::size_t rows) {
    float* const means = sums_.data() + strip * 2 * blocks_;
    ops.add_spread({codes_, scales_, blocks_, first_row, rows, means, means + blocks_});
  }
  void store(std::size_t rows, WeightTraits& traits) const {
    std::vector<double> total(2 * blocks_);
    for (std::size_t i = 0; i < sums_.size(); ++i) total[i % total.size()] += static_cast<double>(sums_[i]);
    const auto mean = [&](std::size_t i) { return static_cast<float>(total[i] / static_cast<double>(rows)); };
    double squares = 0;
    for (std::size_t b = 0; b < blocks_; ++b) {
      traits.means.push_back(mean(b));
      traits.squares.push_back(mean(blocks_ + b));
      squares += static_cast<double>(traits.squares.back());
    }
    if (rows > 0 && blocks_ > 0)
      traits.mean_square = static_cast<float>(squares / static_cast<double>(blocks_));
  }

 private:
  const std::uint8_t* codes_;
  const std::uint8_t* scales_;
  std::size_t blocks_;
  std::vector<float> sums_;
};

void Linear::State::pack(const Mxfp4View& weight, const LinearOptions& options) {
  constexpr std::size_t kStripBytes = 1 << 20;
  const std::size_t group_bytes = ops().group_bytes(traits.blocks());
  groups.resize(group_count());
  bytes = groups.size() * group_bytes;
  memory = AlignedMemory(bytes);
  const std::size_t strip = std::max<std::size_t>(1, kStripBytes / std::max<std::size_t>(group_bytes, 1));
  const std::size_t strips = (groups.size() + strip - 1) / strip;
  SpreadSums spread(weight, traits.blocks(), strips);
  parallel_for(options.context, strips, [&](int, std::size_t index) {
    const std::size_t first = index * strip, count = std::min(strip, groups.size() - first);
    const std::size_t row = first * kGroupRows, rows_here = std::min(count * kGroupRows, rows - row);
    spread.add(ops(), index, row, rows_here);
    ops().pack({weight.codes, weight.scales, rows, traits.blocks(), first, count,
                memory.data() + first * group_bytes, groups.data() + first});
    if (options.done_with) {
      options.done_with(static_cast<std::int64_t>(row), static_cast<std::int64_t>(rows_here));
    }
  });
  spread.store(rows, traits);
  for (const GroupInfo& group : groups) traits.wide = traits.wide || group.wide;
}

void Linear::State::inspect(const Mxfp4View& weight, const Context& context) {
  constexpr std::size_t kStrip = 1024;  // rows
  codes = weight.codes;
  scales = weight.scales;
  odd.resize(rows);
  const std::size_t strips = (rows + kStrip - 1) / kStrip;
  SpreadSums spread(weight, traits.blocks(), strips);
  std::vector<std::uint8_t> odd_strips(strips);
  parallel_for(context, strips, [&](int, std::size_t i) {
    const std::size_t first = i * kStrip, count = std::min(kStrip, rows - first);
    spread.add(ops(), i, first, count);
    odd_strips[i] = ops().inspect_rows({codes, scales, traits.blocks(), first, count, odd.data()});
  });
  spread.store(rows, traits);
  for (const std::uint8_t strip : odd_strips) traits.wide = traits.wide || strip != 0;
  if (!traits.wide) odd = {};
}

Linear::Linear(const Mxfp4View& weight, std::span<const float> bias, const LinearOptions& options)
    : state_(std::make_unique<State>()) {
  if (weight.shape.size() != 2) {
    fail(ErrorCode::invalid_argument, "linear: the weight has shape {}, not [N, K]", to_string(weight.shape));
  }
  if (weight.shape[0] < 0 || weight.shape[1] < 0) {
    fail(ErrorCode::invalid_argument, "linear: the weight has shape {}", to_string(weight.shape));
  }
  if (weight.block_size != kBlockSize) {
    fail(ErrorCode::invalid_argument, "linear: the weight is in blocks of {}, not {}", weight.block_size,
         kBlockSize);
  }
  if (!bias.empty() && static_cast<std::int64_t>(bias.size()) != weight.shape[0]) {
    fail(ErrorCode::invalid_argument, "linear: {} biases for {} rows", bias.size(), weight.shape[0]);
  }
  if (!supported(options.context.isa)) {
    fail(ErrorCode::unsupported, "linear: this machine lacks what {} needs", to_string(options.context.isa));
  }
  state_->rows = static_cast<std::size_t>(weight.shape[0]);
  state_->traits.rows = state_->rows;
  state_->traits.columns = static_cast<std::size_t>(weight.shape[1]);
  state_->traits.order = weight.order;
  state_->isa = options.context.isa;
  state_->traits.packed = options.pack;
  try {
    state_->bias.assign(bias.begin(), bias.end());
    options.pack ? state_->pack(weight, options) : state_->inspect(weight, options.context);
  } catch (const std::bad_alloc&) {
    fail(ErrorCode::out_of_memory, "linear: no memory for a weight of shape {}", to_string(weight.shape));
  } catch (const std::length_error&) {
    fail(ErrorCode::out_of_memory, "linear: no memory for a weight of shape {}", to_string(weight.shape));
  }
}

Linear::Linear(Linear&&) noexcept = default;
Linear& Linear::operator=(Linear&&) noexcept = default;
Linear::~Linear() = default;

std::int64_t Linear::rows() const noexcept {
  return static_cast<std::int64_t>(state_->rows);
}
std::int64_t Linear::columns() const noexcept {
  return static_cast<std::int64_t>(state_->traits.columns);
}
bool Linear::packed() const noexcept {
  return state_->traits.packed;
}
std::size_t Linear::memory() const noexcept {
  const State& s = *state_;
  const std::size_t floats = s.bias.size() + s.traits.means.size() + s.traits.squares.size();
  return s.bytes + s.groups.size() * sizeof(GroupInfo) + s.odd.size() + floats * sizeof(float);
}

void Linear::State::multiply(const kernel::Token* tokens, std::size_t count, Dtype dtype, std::byte* scratch,
                             const Context& context) const {
  constexpr std::size_t kItemsPerThread =
      8;  // enough for threads that are held up to leave work to the others
  const std::size_t scratch_bytes = whole_lines(ops().scratch_bytes(count)),
                    unit = traits.packed ? ops().preferred_groups(count) : 1;
  const auto threads = static_cast<std::size_t>(context.threads);
  const std::size_t items = threads == 1 ? 1 : threads * kItemsPerThread;
  const std::size_t total = group_count();
  const std::size_t step = std::max<std::size_t>(1, (total + items * unit - 1) / (items * unit)) * unit;
  const float* const first_bias = bias.empty() ? nullptr : bias.data();
  parallel_for(context, (total + step - 1) / step, [&](int worker, std::size_t index) {
    const std::size_t first = index * step, groups_here = std::min(step, total - first);
    if (!traits.packed) {
      const std::size_t row = first * kGroupRows, rows_here = std::min(groups_here * kGroupRows, rows - row);
      return ops().multiply_rows({codes, scales, odd.empty() ? nullptr : odd.data(), traits.blocks(), row,
                                  rows_here, tokens, count, first_bias, dtype});
    }
    ops().multiply({memory.data(), groups.data(), rows, traits.blocks(), first, groups_here, tokens, count,
                    first_bias, dtype, scratch + static_cast<std::size_t>(worker) * scratch_bytes});
  });
}

void Linear::forward(const DenseView& x, Dtype dtype, void* y, const ForwardOptions& options) const {
  const State& s = *state_;
  if (x.rank() == 0 || x.shape.back() != columns()) {
    fail(ErrorCode::invalid_argument, "linear: x has shape {}, not [..., {}]", to_string(x.shape), columns());
  }
  for (const Dtype given : {x.dtype, dtype}) {
    if (given == Dtype::f32 || given == Dtype::bf16 || given == Dtype::f16) continue;
    fail(ErrorCode::invalid_argument, "linear: {} is {}; F32, BF16 and F16 can be",
         given == dtype ? "y" : "x", to_string(given));
  }
  const auto most_threads = static_cast<int>(std::min<std::size_t>(s.group_count(), kMostThreads));
  const Context context = {std::clamp(options.threads, 1, std::max(most_threads, 1)), s.isa};
  TokenRecords records(x, s.traits, options.activation, s.ops(), context);
  if (records.count() == 0 || s.rows == 0) return;
  const std::size_t row_bytes = s.rows * static_cast<std::size_t>(bits_of(dtype)) / 8;
  const std::size_t scratch_bytes =
      static_cast<std::size_t>(context.threads) * whole_lines(s.ops().scratch_bytes(records.count()));
  const std::size_t bytes = records.bytes() + scratch_bytes;
  std::byte* const memory = workspace(bytes);
  if (memory == nullptr) {
    fail(ErrorCode::out_of_memory, "linear: no memory for {} tokens: {} bytes", records.count(), bytes);
  }
  const kernel::Token* const tokens =
      records.run(memory + scratch_bytes, static_cast<std::byte*>(y), row_bytes);
  s.multiply(tokens, records.count(), dtype, memory, context);
}

}  // namespace mxfp4
