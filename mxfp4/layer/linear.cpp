#include "mxfp4/layer/linear.h"

#include <algorithm>

#include "mxfp4/base/parallel.h"
#include "mxfp4/kernel/device.h"
#include "mxfp4/layer/arguments_internal.h"
#include "mxfp4/layer/tokens_internal.h"
#include "mxfp4/layer/weight_stack_internal.h"

namespace mxfp4 {

struct Linear::State {
  WeightStack weight;
  std::unique_ptr<kernel::DeviceLayer> device;

  Device queues() const noexcept { return device == nullptr ? Device{} : device->queues(); }
  void multiply(const kernel::Token* tokens, std::size_t count, const kernel::Outputs& out,
                std::byte* scratch, const Context& context) const;
};

Linear::Linear(const Mxfp4View& weight, std::span<const float> bias, const LayerOptions& options)
    : state_(new State{WeightStack("linear", {weight}, {bias.begin(), bias.end()}, options), {}}) {
  if (options.context.device.is_cpu()) return;
  WeightStack& stack = state_->weight;
  state_->device = kernel::compute_device(options.context.device).linear(stack.for_device(options));
  stack.give_up();
}

Linear::Linear(Linear&&) noexcept = default;
Linear& Linear::operator=(Linear&&) noexcept = default;
Linear::~Linear() = default;

std::int64_t Linear::rows() const noexcept {
  return static_cast<std::int64_t>(state_->weight.rows());
}
std::int64_t Linear::columns() const noexcept {
  return static_cast<std::int64_t>(state_->weight.columns());
}
bool Linear::packed() const noexcept {
  return state_->weight.packed() || state_->device != nullptr;
}
std::size_t Linear::memory() const noexcept {
  return state_->weight.memory() + (state_->device == nullptr ? 0 : state_->device->bytes());
}

void Linear::reserve(DeviceQueue& queue, std::size_t tokens) const {
  check_queue("linear", queue, state_->queues());
  state_->device->reserve(queue, tokens, 1);
}

void Linear::State::multiply(const kernel::Token* tokens, std::size_t count, const kernel::Outputs& out,
                             std::byte* scratch, const Context& context) const {
  const std::size_t scratch_bytes = weight.scratch_bytes(count), unit = weight.unit(count);
  const std::size_t group_bytes = kernel::kGroupRows * static_cast<std::size_t>(bits_of(out.dtype)) / 8;
  const std::size_t total = weight.groups();
  parallel_units(context, (total + unit - 1) / unit,
                 [&](int worker, std::size_t first_unit, std::size_t units) {
                   const std::size_t first = first_unit * unit;
                   const kernel::Outputs here{out.data + first * group_bytes, out.stride, out.dtype};
                   weight.multiply(0, first, std::min(units * unit, total - first), tokens, count, here,
                                   scratch + static_cast<std::size_t>(worker) * scratch_bytes);
                 });
}

void Linear::forward(const DenseView& x, Dtype dtype, void* y, const ForwardOptions& options) const {
  const WeightStack& weight = state_->weight;
  check_input("linear", x, columns(), options.queue, state_->queues());
  check_float("linear", "y", dtype);
  if (state_->device != nullptr) {
    return state_->device->forward({x, options.activation, {}, dtype, y, options.queue});
  }
  const Context context = context_for(options.threads, weight.isa(), weight.groups());
  const TokenRecords records(x, weight, options.activation, context);
  const std::size_t count = records.count();
  if (count == 0 || weight.rows() == 0) return;
  const std::size_t scratch_bytes = static_cast<std::size_t>(context.threads) * weight.scratch_bytes(count);
  const std::size_t token_bytes = whole_lines(count * sizeof(kernel::Token));
  Pieces pieces(memory_of_call("linear", count, scratch_bytes + token_bytes + records.bytes()));
  std::byte* const scratch = pieces.take(scratch_bytes);
  auto* const tokens = pieces.take<kernel::Token>(count);
  const TokenRecord* const made = records.run(pieces.take(records.bytes()));
  const auto same = [](std::size_t i) { return i; };
  sort_by_format(made, count, tokens, same, same);
  const std::size_t row_bytes = weight.rows() * static_cast<std::size_t>(bits_of(dtype)) / 8;
  state_->multiply(tokens, count, {static_cast<std::byte*>(y), row_bytes, dtype}, scratch, context);
}

}  // namespace mxfp4
