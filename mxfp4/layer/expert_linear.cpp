#include "mxfp4/layer/expert_linear.h"

#include <algorithm>
#include <cstring>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/base/parallel.h"
#include "mxfp4/kernel/device.h"
#include "mxfp4/layer/arguments_internal.h"
#include "mxfp4/layer/expert_routes_internal.h"
#include "mxfp4/layer/tokens_internal.h"

namespace mxfp4 {
namespace {

constexpr const char* kWho = "expert_linear";

}  // namespace

struct ExpertLinear::State {
  WeightStack stack;
  std::unique_ptr<kernel::DeviceLayer> device;
};

ExpertLinear::ExpertLinear(const ExpertMatrices& matrices, const LayerOptions& options)
    : state_(new State{stack_of(kWho, matrices, options), {}}) {
  WeightStack& stack = state_->stack;
  if (options.context.device.is_cpu() || stack.count() == 0) return;
  state_->device = kernel::compute_device(options.context.device).gather(stack.for_device(options));
  stack.give_up();
}

ExpertLinear::ExpertLinear(ExpertLinear&&) noexcept = default;
ExpertLinear& ExpertLinear::operator=(ExpertLinear&&) noexcept = default;
ExpertLinear::~ExpertLinear() = default;

std::int64_t ExpertLinear::count() const noexcept {
  return static_cast<std::int64_t>(state_->stack.count());
}
std::int64_t ExpertLinear::rows() const noexcept {
  return static_cast<std::int64_t>(state_->stack.rows());
}
std::int64_t ExpertLinear::columns() const noexcept {
  return static_cast<std::int64_t>(state_->stack.columns());
}
std::size_t ExpertLinear::memory() const noexcept {
  return state_->stack.memory() + (state_->device == nullptr ? 0 : state_->device->bytes());
}

void ExpertLinear::gather(const DenseView& x, const std::int32_t* ids, int top_k, Dtype dtype, void* y,
                          const ForwardOptions& options) const {
  const WeightStack& stack = state_->stack;
  check_input(kWho, x, columns());
  check_float(kWho, "y", dtype);
  const bool per_slot = x.rank() == 3;
  if (top_k < 0) fail(ErrorCode::invalid_argument, "{}: top_k is {}", kWho, top_k);
  if (x.rank() > 3 || (per_slot && x.shape[1] != top_k)) {
    fail(ErrorCode::invalid_argument, "{}: x has shape {}, neither [T, {}] nor [T, {}, {}]", kWho,
         to_string(x.shape), columns(), top_k, columns());
  }
  const std::size_t slots = static_cast<std::size_t>(top_k), rows = rows_of(x);
  const auto tokens = per_slot ? static_cast<std::size_t>(x.shape[0]) : rows;
  const ExpertRoutes routes(kWho, ids, tokens, slots, stack.count());
  if (state_->device != nullptr) {
    return state_->device->forward({x, options.activation, {ids, nullptr, slots, false}, dtype, y});
  }

  const Context context =
      context_for(options.threads, stack.isa(), stack.groups() * std::min(stack.count(), routes.slots()));
  const TokenRecords records(x, stack, options.activation, context);
  const std::size_t scratch_bytes = stack.scratch_bytes(routes.most());
  const std::size_t all_scratch = static_cast<std::size_t>(context.threads) * scratch_bytes;
  const std::size_t token_bytes = whole_lines(routes.slots() * sizeof(kernel::Token));
  Pieces pieces(memory_of_call(kWho, tokens, all_scratch + token_bytes + records.bytes()));
  std::byte* const scratch = pieces.take(all_scratch);
  auto* const sorted = pieces.take<kernel::Token>(routes.slots());
  const TokenRecord* const made = records.run(pieces.take(records.bytes()));
  for (const ActiveExpert& expert : routes.active()) {
    const auto place = [&](std::size_t i) { return routes.place(expert.first + i); };
    const auto row = [&](std::size_t i) { return per_slot ? place(i) : routes.token(expert.first + i); };
    sort_by_format(made, expert.count, sorted + expert.first, row, place);
  }

  auto* const out = static_cast<std::byte*>(y);
  const std::size_t size = static_cast<std::size_t>(bits_of(dtype)) / 8, stride = stack.rows() * size;
  for (std::size_t i = 0; i < tokens * slots; ++i) {
    if (ids[i] == -1) std::memset(out + i * stride, 0, stride);
  }
  parallel_strips(context, routes.active(), stack, routes.most(),
                  [&](int worker, const ActiveExpert& expert, std::size_t first, std::size_t groups) {
                    stack.multiply(expert.expert, first, groups, sorted + expert.first, expert.count,
                                   {out + first * kernel::kGroupRows * size, stride, dtype},
                                   scratch + static_cast<std::size_t>(worker) * scratch_bytes);
                  });
}

}  // namespace mxfp4
