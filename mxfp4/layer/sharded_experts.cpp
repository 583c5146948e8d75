#include "mxfp4/layer/sharded_experts.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/base/parallel.h"
#include "mxfp4/kernel/expert_ops.h"
#include "mxfp4/layer/arguments_internal.h"

namespace mxfp4 {
namespace {

constexpr const char* kWho = "sharded experts";

/// Results on their way are so many tokens' at a time.
constexpr std::int64_t kTokensAtOnce = 1024;

class Clock {
 public:
  /// Adds the time since the last call, or since the object was made.
  void lap(double* to) noexcept {
    const auto now = std::chrono::steady_clock::now();
    if (to != nullptr) *to += std::chrono::duration<double>(now - last_).count();
    last_ = now;
  }

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

/// The routes of one rank in a batch.
struct OwnRoutes {
  std::vector<std::int32_t> ids;  ///< on the rank
  std::vector<float> weights, x;

  OwnRoutes(const DenseView& all, const ExpertChoice& choice, std::span<const int> owners,
            const ExpertMap& map, int group) {
    const auto columns = static_cast<std::size_t>(all.shape.back()),
               slots = static_cast<std::size_t>(choice.top_k);
    for (std::size_t route = 0; route < owners.size(); ++route) {
      if (owners[route] != group) continue;
      ids.push_back(map.local(group, choice.ids[route]));
      weights.push_back(choice.weights_on_input ? choice.weights[route] : 1.0f);
      x.resize(x.size() + columns);
      const auto token = static_cast<std::int64_t>(route / slots);
      copy_rows_f32(all, token, token + 1, x.data() + x.size() - columns);
    }
  }
};

}  // namespace

ShardedExperts::ShardedExperts(Communicator& ranks, ShardPlan plan, std::optional<Experts> mine)
    : ranks_(ranks), plan_(std::move(plan)), mine_(std::move(mine)) {
  if (plan_.ranks() != ranks.size()) {
    fail(ErrorCode::invalid_argument, "{}: a plan for {} ranks, but there are {}", kWho, plan_.ranks(),
         ranks.size());
  }
  const std::size_t held = plan_.experts.held(plan_.group(ranks.rank())).size();
  const std::int64_t count = mine_ ? mine_->count() : 0;
  if (count != static_cast<std::int64_t>(held)) {
    fail(ErrorCode::invalid_argument, "{}: {} experts on rank {}, but the plan has {}", kWho, count,
         ranks.rank(), held);
  }
  const std::int64_t own = mine_ ? mine_->hidden() : 0;
  for (const std::string& other : ranks.all_gather(std::as_bytes(std::span(&own, 1)))) {
    std::int64_t hidden = 0;
    std::memcpy(&hidden, other.data(), sizeof hidden);
    if (hidden_ != 0 && hidden != 0 && hidden != hidden_) {
      fail(ErrorCode::invalid_argument, "{}: some ranks have hidden size {}, others {}", kWho, hidden_,
           hidden);
    }
    hidden_ = std::max(hidden_, hidden);
  }
  if (plan_.tensor > 1) return;
  // What becomes of a token must not depend on who has which expert.
  const std::vector<float> numbers = mine_ ? mine_->plan_numbers() : std::vector<float>();
  for (const std::string& other : ranks.all_gather(std::as_bytes(std::span(numbers)))) {
    std::vector<float> others(other.size() / sizeof(float));
    if (!others.empty()) std::memcpy(others.data(), other.data(), other.size());
    if (mine_ && !others.empty()) mine_->plan_for(others);
  }
}

void ShardedExperts::meet(ShardTimes* times) const {
  if (times == nullptr) return;
  Clock clock;
  ranks_.barrier();
  clock.lap(&times->wait);
}

void ShardedExperts::gather_routes(const DenseView& x, const ExpertChoice& choice, float* sums,
                                   const ForwardOptions& options, ShardTimes* times) const {
  Clock clock;
  const auto columns = static_cast<std::size_t>(hidden_), slots = static_cast<std::size_t>(choice.top_k);
  const std::size_t tokens = rows_of(x);
  const std::span<const std::int32_t> ids(choice.ids, tokens * slots);
  const std::vector<int> owners = plan_.experts.choose(ids);
  const OwnRoutes own(x, choice, owners, plan_.experts, ranks_.rank());
  std::vector<float> outputs(own.x.size());
  if (!own.ids.empty()) {
    const auto rows = static_cast<std::int64_t>(own.ids.size());
    mine_->forward(dense_view(own.x.data(), Dtype::f32, {rows, hidden_}),
                   {own.ids.data(), own.weights.data(), 1, choice.weights_on_input}, Dtype::f32,
                   outputs.data(), options);
  }
  // Where a route's output will be: those of rank 0 come first.
  std::vector<std::size_t> sizes(static_cast<std::size_t>(ranks_.size())), places(owners.size());
  for (std::size_t route = 0; route < owners.size(); ++route) {
    if (owners[route] >= 0) places[route] = sizes[static_cast<std::size_t>(owners[route])]++;
  }
  std::vector<std::size_t> first(sizes.size());
  std::exclusive_scan(sizes.begin(), sizes.end(), first.begin(), std::size_t{0});
  std::vector<float> all((first.back() + sizes.back()) * columns);
  for (std::size_t& size : sizes) size *= columns * sizeof(float);
  clock.lap(times == nullptr ? nullptr : &times->compute);
  meet(times);
  clock.lap(nullptr);
  ranks_.all_gather(std::as_bytes(std::span(outputs)), sizes, reinterpret_cast<std::byte*>(all.data()));
  clock.lap(times == nullptr ? nullptr : &times->exchange);
  const Context context{options.threads, default_isa()};
  const kernel::ExpertOps& ops = kernel::cpu_expert_ops(context.isa);
  parallel_for(context, tokens, [&](int, std::size_t token) {
    std::vector<std::size_t> order(slots);
    std::iota(order.begin(), order.end(), token * slots);
    std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return ids[a] < ids[b]; });
    for (const std::size_t route : order) {
      if (owners[route] < 0) continue;
      const kernel::Route to{0, choice.weights_on_input ? 1.0f : choice.weights[route]};
      const std::size_t row = first[static_cast<std::size_t>(owners[route])] + places[route];
      ops.add_routes({all.data() + row * columns, columns, &to, 1, columns, sums + token * columns, columns});
    }
  });
  clock.lap(times == nullptr ? nullptr : &times->compute);
}

void ShardedExperts::add_shares(const DenseView& x, const ExpertChoice& choice, float* sums,
                                const ForwardOptions& options, ShardTimes* times) const {
  Clock clock;
  const std::size_t tokens = rows_of(x), routes = tokens * static_cast<std::size_t>(choice.top_k);
  const int group = plan_.group(ranks_.rank());
  const std::vector<int> owners = plan_.experts.choose({choice.ids, routes});
  std::vector<std::int32_t> ids(routes, -1);
  for (std::size_t route = 0; route < routes; ++route) {
    if (owners[route] == group) ids[route] = plan_.experts.local(group, choice.ids[route]);
  }
  ExpertChoice own = choice;
  own.ids = ids.data();
  if (mine_) mine_->forward(x, own, Dtype::f32, sums, options);
  clock.lap(times == nullptr ? nullptr : &times->compute);
  meet(times);
  clock.lap(nullptr);
  ranks_.all_reduce({sums, tokens * static_cast<std::size_t>(hidden_)});
  clock.lap(times == nullptr ? nullptr : &times->exchange);
}

void ShardedExperts::forward(const DenseView& x, const ExpertChoice& choice, Dtype dtype, void* y,
                             const ForwardOptions& options, ShardTimes* times) const {
  check_input(kWho, x, hidden_);
  check_float(kWho, "y", dtype);
  if (choice.top_k < 0) fail(ErrorCode::invalid_argument, "{}: top_k is {}", kWho, choice.top_k);
  const auto tokens = static_cast<std::int64_t>(rows_of(x));
  const std::size_t element = static_cast<std::size_t>(bits_of(dtype)) / 8;
  std::vector<float> rows, sums;
  for (std::int64_t begin = 0; begin < tokens; begin += kTokensAtOnce) {
    const std::int64_t end = std::min(begin + kTokensAtOnce, tokens);
    const auto skipped = static_cast<std::size_t>(begin);
    ExpertChoice part = choice;
    part.ids += skipped * static_cast<std::size_t>(choice.top_k);
    part.weights += skipped * static_cast<std::size_t>(choice.top_k);
    sums.assign(static_cast<std::size_t>((end - begin) * hidden_), 0.0f);
    rows.resize(sums.size());
    copy_rows_f32(x, begin, end, rows.data());
    const DenseView slice = dense_view(rows.data(), Dtype::f32, {end - begin, hidden_});
    plan_.tensor == 1 ? gather_routes(slice, part, sums.data(), options, times)
                      : add_shares(slice, part, sums.data(), options, times);
    write_f32(sums.data(), sums.size(), dtype,
              static_cast<std::byte*>(y) + skipped * static_cast<std::size_t>(hidden_) * element);
  }
}

}  // namespace mxfp4
