#include "mxfp4/layer/experts.h"

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/base/parallel.h"
#include "mxfp4/kernel/device.h"
#include "mxfp4/kernel/expert_ops.h"
#include "mxfp4/layer/arguments_internal.h"
#include "mxfp4/layer/expert_routes_internal.h"
#include "mxfp4/layer/router.h"
#include "mxfp4/layer/sums_internal.h"
#include "mxfp4/layer/tokens_internal.h"

namespace mxfp4 {
namespace {

using kernel::kGroupRows;

constexpr const char* kWho = "experts";

/// Routes that are on their way at a time, unless one expert has more: their activations stay in the caches.
constexpr std::size_t kBatchRoutes = 512;

constexpr auto kAsItIs = [](std::size_t i) { return i; };

std::size_t routes_of(std::span<const ActiveExpert> batch) noexcept {
  return batch.back().first + batch.back().count - batch.front().first;
}

}  // namespace

struct Experts::State {
  // gate_up, or gate and up.
  WeightStack first, second;
  WeightStack down;
  std::vector<GatedUnit> unit;
  std::unique_ptr<kernel::DeviceLayer> device;

  void move_to(const LayerOptions& options);
  Device queues() const noexcept { return device == nullptr ? Device{} : device->queues(); }
  bool alternate() const noexcept { return second.count() == 0; }
  std::size_t products() const noexcept { return alternate() ? 1 : 2; }  ///< before the gated unit
  std::size_t hidden() const noexcept { return first.columns(); }
  std::size_t intermediate() const noexcept { return down.columns(); }
};

void Experts::State::move_to(const LayerOptions& options) {
  if (options.context.device.is_cpu() || down.count() == 0) return;
  kernel::DeviceExpertMatrices matrices{
      first.for_device(options), second.for_device(options), down.for_device(options), {}};
  for (const GatedUnit& one : unit) matrices.units.push_back({one.alpha, one.beta, one.limit});
  device = kernel::compute_device(options.context.device).experts(matrices);
  for (WeightStack* const stack : {&first, &second, &down}) stack->give_up();
}

/// One call of forward(). The experts that somebody chose are taken in batches; for each batch
///
///   1. gate, up and the gated unit, cut into strips of rows: the activations [routes of the batch, I]
///   2. the records of these
///   3. down, cut into strips of rows again, where one expert after the other is added to the sums
class ExpertsCall {
 public:
  ExpertsCall(const Experts::State& state, const ExpertRoutes& routes, const ForwardOptions& options) noexcept
      : s_(state),
        ops_(kernel::cpu_expert_ops(state.first.isa())),
        routes_(routes),
        activation_(options.activation),
        context_(context_for(options.threads, state.first.isa(),
                             std::max(state.first.groups() * std::min(state.down.count(), routes.slots()),
                                      state.down.groups()))),
        most_(routes.most()) {}

  void run(const DenseView& x, const ExpertChoice& choice, Dtype dtype, std::byte* y);

 private:
  using Batch = std::span<const ActiveExpert>;

  Batch batch_at(std::size_t begin) const noexcept;
  void lay_out(Pieces& pieces, const ExpertChoice& choice, std::size_t tokens, bool in_place) noexcept;
  const TokenRecord* input_records(const DenseView& x, const ExpertChoice& choice) const;
  void sort_routes(const TokenRecord* records, const ExpertChoice& choice);
  void gate_up(Batch batch) const;
  void gate_up_strip(const ActiveExpert& expert, std::size_t first, std::size_t groups, float* activated,
                     Pieces memory) const noexcept;
  void sort_middles(Batch batch);
  void down(Batch batch) const;
  void down_strip(Batch batch, std::size_t first, std::size_t groups, Pieces memory) const noexcept;

  Pieces worker_memory(int worker) const noexcept {
    return Pieces(worker_memory_ + static_cast<std::size_t>(worker) * worker_bytes_);
  }

  const Experts::State& s_;
  const kernel::ExpertOps& ops_;
  const ExpertRoutes& routes_;
  Activation activation_;
  Context context_;
  std::size_t most_;  ///< of the routes of one expert
  // In the memory of the call:
  float* sums_ = nullptr;              ///< [T, H]
  float* weighted_ = nullptr;          ///< inputs times weights, [routes, H], if those are asked for
  std::byte* input_memory_ = nullptr;  ///< of the records
  kernel::Route* targets_ = nullptr;   ///< of every route
  kernel::Token* inputs_ = nullptr;    ///< of every route, sorted by format within an expert
  float* activated_ = nullptr;         ///< [routes of a batch, I]
  std::byte* middle_memory_ = nullptr;
  kernel::Token* middles_ = nullptr;  ///< as inputs_, for the activations of a batch
  std::byte* worker_memory_ = nullptr;
  std::size_t worker_bytes_ = 0;
};

ExpertsCall::Batch ExpertsCall::batch_at(std::size_t begin) const noexcept {
  const Batch active = routes_.active();
  std::size_t end = begin, count = 0;
  while (end < active.size() && (end == begin || count + active[end].count <= kBatchRoutes)) {
    count += active[end++].count;
  }
  return active.subspan(begin, end - begin);
}

void ExpertsCall::lay_out(Pieces& pieces, const ExpertChoice& choice, std::size_t tokens,
                          bool in_place) noexcept {
  // Bounds that do not depend on who is chosen: memory that nobody needs has no pages.
  const std::size_t count = routes_.slots(), batch = std::min(count, std::max(kBatchRoutes, most_));
  const std::size_t inputs = choice.weights_on_input ? count : tokens;
  sums_ = pieces.take<float>(in_place ? 0 : tokens * s_.hidden());
  weighted_ = pieces.take<float>(choice.weights_on_input ? count * s_.hidden() : 0);
  input_memory_ = pieces.take(TokenRecords::bytes(inputs, s_.first, context_));
  targets_ = pieces.take<kernel::Route>(count);
  inputs_ = pieces.take<kernel::Token>(count);
  activated_ = pieces.take<float>(batch * s_.intermediate());
  middle_memory_ = pieces.take(TokenRecords::bytes(batch, s_.down, context_));
  middles_ = pieces.take<kernel::Token>(batch);
  const std::size_t groups = std::max(s_.first.unit(most_) * s_.products(), s_.down.unit(most_));
  Pieces worker;
  worker.take<float>(most_ * groups * kGroupRows);
  worker.take(std::max(s_.first.scratch_bytes(most_), s_.down.scratch_bytes(most_)));
  worker_bytes_ = worker.bytes();
  worker_memory_ = pieces.take(static_cast<std::size_t>(context_.threads) * worker_bytes_);
}

/// The records of the tokens, or of the routes if weights multiply what goes in.
const TokenRecord* ExpertsCall::input_records(const DenseView& x, const ExpertChoice& choice) const {
  if (!choice.weights_on_input) return TokenRecords(x, s_.first, activation_, context_).run(input_memory_);
  const auto columns = static_cast<std::int64_t>(s_.hidden());
  parallel_for(context_, routes_.count(), [&](int, std::size_t route) {
    float* const row = weighted_ + route * s_.hidden();
    const auto token = static_cast<std::int64_t>(routes_.token(route));
    copy_rows_f32(x, token, token + 1, row);
    for (std::int64_t i = 0; i < columns; ++i) row[i] *= choice.weights[routes_.place(route)];
  });
  return TokenRecords(weighted_, routes_.count(), s_.first, activation_, context_).run(input_memory_);
}

void ExpertsCall::sort_routes(const TokenRecord* records, const ExpertChoice& choice) {
  const bool on_input = choice.weights_on_input;
  for (const ActiveExpert& expert : routes_.active()) {
    const auto input = [&](std::size_t i) {
      return on_input ? expert.first + i : routes_.token(expert.first + i);
    };
    sort_by_format(records, expert.count, inputs_ + expert.first, input, kAsItIs);
  }
  for (std::size_t route = 0; route < routes_.count(); ++route) {
    targets_[route] = {static_cast<std::uint32_t>(routes_.token(route)),
                       on_input ? 1.0f : choice.weights[routes_.place(route)]};
  }
}

void ExpertsCall::gate_up_strip(const ActiveExpert& expert, std::size_t first, std::size_t groups,
                                float* activated, Pieces memory) const noexcept {
  const std::size_t row = first * kGroupRows, rows = std::min(groups * kGroupRows, s_.first.rows() - row);
  const std::size_t stride = rows * s_.products();
  auto* const strip = memory.take<float>(most_ * groups * s_.products() * kGroupRows);
  std::byte* const scratch = memory.take(0);
  const kernel::Token* const tokens = inputs_ + expert.first;
  const auto product = [&](const WeightStack& stack, float* to) {
    stack.multiply(expert.expert, first, groups, tokens, expert.count,
                   {reinterpret_cast<std::byte*>(to), stride * sizeof(float), Dtype::f32}, scratch);
  };
  product(s_.first, strip);
  if (!s_.alternate()) product(s_.second, strip + rows);
  const GatedUnit& unit = s_.unit[s_.unit.size() == 1 ? 0 : expert.expert];
  const std::size_t divisor = s_.alternate() ? 2 : 1;
  ops_.gated_unit({strip, strip + rows, s_.alternate(), stride, expert.count, rows / divisor, unit.alpha,
                   unit.beta, unit.limit, activated + row / divisor, s_.intermediate()});
}

void ExpertsCall::gate_up(Batch batch) const {
  parallel_strips(context_, batch, s_.first, most_,
                  [&](int worker, const ActiveExpert& expert, std::size_t first, std::size_t groups) {
                    gate_up_strip(expert, first, groups,
                                  activated_ + (expert.first - batch.front().first) * s_.intermediate(),
                                  worker_memory(worker));
                  });
}

void ExpertsCall::sort_middles(Batch batch) {
  const std::size_t begin = batch.front().first;
  const TokenRecord* const records =
      TokenRecords(activated_, routes_of(batch), s_.down, activation_, context_).run(middle_memory_);
  for (const ActiveExpert& expert : batch) {
    const std::size_t first = expert.first - begin;
    sort_by_format(records + first, expert.count, middles_ + first, kAsItIs, kAsItIs);
  }
}

void ExpertsCall::down_strip(Batch batch, std::size_t first, std::size_t groups,
                             Pieces memory) const noexcept {
  const std::size_t row = first * kGroupRows, rows = std::min(groups * kGroupRows, s_.down.rows() - row);
  auto* const strip = memory.take<float>(most_ * groups * kGroupRows);
  std::byte* const scratch = memory.take(0);
  for (const ActiveExpert& expert : batch) {
    s_.down.multiply(expert.expert, first, groups, middles_ + (expert.first - batch.front().first),
                     expert.count, {reinterpret_cast<std::byte*>(strip), rows * sizeof(float), Dtype::f32},
                     scratch);
    ops_.add_routes({strip, rows, targets_ + expert.first, expert.count, rows, sums_ + row, s_.hidden()});
  }
}

void ExpertsCall::down(Batch batch) const {
  // Every strip takes all experts of the batch in turn.
  parallel_strips(context_, batch.first(1), s_.down, most_,
                  [&](int worker, const ActiveExpert&, std::size_t first, std::size_t groups) {
                    down_strip(batch, first, groups, worker_memory(worker));
                  });
}

void ExpertsCall::run(const DenseView& x, const ExpertChoice& choice, Dtype dtype, std::byte* y) {
  const std::size_t tokens = rows_of(x);
  const bool in_place = holds_floats(dtype, y);
  Pieces size;
  lay_out(size, choice, tokens, in_place);
  Pieces pieces(memory_of_call(kWho, tokens, size.bytes()));
  lay_out(pieces, choice, tokens, in_place);
  if (in_place) sums_ = reinterpret_cast<float*>(y);
  std::fill_n(sums_, tokens * s_.hidden(), 0.0f);
  sort_routes(input_records(x, choice), choice);
  for (std::size_t begin = 0; begin < routes_.active().size();) {
    const Batch batch = batch_at(begin);
    gate_up(batch);
    sort_middles(batch);
    down(batch);
    begin += batch.size();
  }
  if (!in_place) write_rows(context_, sums_, tokens, s_.hidden(), dtype, y);
}

namespace {

void check_top_k(int top_k) {
  if (top_k < 0) fail(ErrorCode::invalid_argument, "{}: top_k is {}", kWho, top_k);
}

/// Throws unless the matrices of `stack` are [rows, columns].
void check_shape(const char* name, const WeightStack& stack, std::size_t experts, std::size_t rows,
                 std::size_t columns) {
  if (stack.count() != experts) {
    fail(ErrorCode::invalid_argument, "{}: {} has {} experts, not {}", kWho, name, stack.count(), experts);
  }
  if (stack.rows() != rows || stack.columns() != columns) {
    fail(ErrorCode::invalid_argument, "{}: {} has shape [{}, {}], not [{}, {}]", kWho, name, stack.rows(),
         stack.columns(), rows, columns);
  }
}

}  // namespace

Experts::Experts(const ExpertWeights& weights, const LayerOptions& options)
    : state_(std::make_unique<State>()) {
  State& s = *state_;
  const bool apart = !weights.gate.weights.empty() || !weights.up.weights.empty();
  if (apart == !weights.gate_up.weights.empty()) {
    fail(ErrorCode::invalid_argument, "{}: either gate_up or gate and up must be given", kWho);
  }
  s.down = stack_of("experts: down", weights.down, options);
  const std::size_t experts = s.down.count(), hidden = s.down.rows(), intermediate = s.down.columns();
  s.first = apart ? stack_of("experts: gate", weights.gate, options)
                  : stack_of("experts: gate_up", weights.gate_up, options);
  check_shape(apart ? "gate" : "gate_up", s.first, experts, intermediate * (apart ? 1 : 2), hidden);
  if (apart) {
    s.second = stack_of("experts: up", weights.up, options);
    check_shape("up", s.second, experts, intermediate, hidden);
    if (s.first.order() != s.second.order()) {
      fail(ErrorCode::invalid_argument, "{}: gate and up have their nibbles in different orders", kWho);
    }
    s.first.plan_for(s.second);  // both take the same records
  }
  s.unit = weights.unit;
  if (s.unit.size() != 1 && s.unit.size() != experts) {
    fail(ErrorCode::invalid_argument, "{}: {} gated units for {} experts", kWho, s.unit.size(), experts);
  }
  for (const GatedUnit& unit : s.unit) check_unit(kWho, unit);
  s.move_to(options);
}

Experts::Experts(Experts&&) noexcept = default;
Experts& Experts::operator=(Experts&&) noexcept = default;
Experts::~Experts() = default;

std::int64_t Experts::count() const noexcept {
  return static_cast<std::int64_t>(state_->down.count());
}
std::int64_t Experts::hidden() const noexcept {
  return static_cast<std::int64_t>(state_->hidden());
}
std::int64_t Experts::intermediate() const noexcept {
  return static_cast<std::int64_t>(state_->intermediate());
}
std::size_t Experts::memory() const noexcept {
  const std::size_t on_device = state_->device == nullptr ? 0 : state_->device->bytes();
  return state_->first.memory() + state_->second.memory() + state_->down.memory() + on_device;
}

std::vector<float> Experts::plan_numbers() const {
  std::vector<float> numbers = state_->first.plan_numbers();
  const std::vector<float> down = state_->down.plan_numbers();
  numbers.insert(numbers.end(), down.begin(), down.end());
  return numbers;
}

void Experts::plan_for(const std::vector<float>& numbers) {
  const std::size_t first = state_->first.plan_size(), down = state_->down.plan_size();
  if (numbers.size() != first + down) {
    fail(ErrorCode::invalid_argument, "{}: others are of another shape: {} numbers to plan by, not {}", kWho,
         numbers.size(), first + down);
  }
  const std::span all(numbers);
  state_->first.plan_for(all.first(first));
  state_->down.plan_for(all.subspan(first));
}

bool Experts::route_by(const Router& router) {
  if (state_->device == nullptr) return false;
  const std::vector<float> weight = router.weight().weight();
  return state_->device->route_by({weight, router.weight().bias(), router.options()});
}

void Experts::forward_routed(const DenseView& x, const std::int32_t* ids, int top_k, Dtype dtype, void* y,
                             const ForwardOptions& options) const {
  state_->device->forward(
      {x, options.activation, {ids, nullptr, static_cast<std::size_t>(top_k), false}, dtype, y});
}

void Experts::reserve(DeviceQueue& queue, std::size_t tokens, int top_k) const {
  check_queue(kWho, queue, state_->queues());
  check_top_k(top_k);
  state_->device->reserve(queue, tokens, static_cast<std::size_t>(top_k));
}

void Experts::forward(const DenseView& x, const ExpertChoice& choice, Dtype dtype, void* y,
                      const ForwardOptions& options) const {
  check_input(kWho, x, hidden(), options.queue, state_->queues());
  check_float(kWho, "y", dtype);
  check_top_k(choice.top_k);
  const auto top_k = static_cast<std::size_t>(choice.top_k);
  const kernel::DeviceCall call{
      x, options.activation, {choice.ids, choice.weights, top_k, choice.weights_on_input}, dtype,
      y, options.queue};
  if (options.queue != nullptr) return state_->device->forward(call);  // who is chosen only the device sees
  const ExpertRoutes routes(kWho, choice.ids, rows_of(x), top_k, state_->down.count());
  if (state_->device != nullptr) return state_->device->forward(call);
  ExpertsCall(*state_, routes, options).run(x, choice, dtype, static_cast<std::byte*>(y));
}

}  // namespace mxfp4
