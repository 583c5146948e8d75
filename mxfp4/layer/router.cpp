#include "mxfp4/layer/router.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/base/parallel.h"
#include "mxfp4/kernel/expert_ops.h"
#include "mxfp4/layer/arguments_internal.h"
#include "mxfp4/layer/workspace_internal.h"

namespace mxfp4 {
namespace {

constexpr const char* kWho = "router";

void check_options(const RouterOptions& options, std::int64_t experts) {
  if (options.top_k < 1 || options.top_k > experts) {
    fail(ErrorCode::invalid_argument, "{}: top_k is {}, of {} experts", kWho, options.top_k, experts);
  }
  const auto corrections = static_cast<std::int64_t>(options.correction.size());
  if (corrections != 0 && corrections != experts) {
    fail(ErrorCode::invalid_argument, "{}: {} corrections for {} experts", kWho, corrections, experts);
  }
  if (options.groups < 1 || experts % options.groups != 0 ||
      (options.groups > 1 && experts < 2 * options.groups)) {
    fail(ErrorCode::invalid_argument, "{}: {} experts cannot be in {} groups of at least two", kWho, experts,
         options.groups);
  }
  if (options.top_groups < 1 || options.top_groups > options.groups) {
    fail(ErrorCode::invalid_argument, "{}: top_groups is {}, of {} groups", kWho, options.top_groups,
         options.groups);
  }
  const std::int64_t left = experts / options.groups * options.top_groups;
  if (options.top_k > left) {
    fail(ErrorCode::invalid_argument, "{}: top_k is {}, of {} experts in {} groups", kWho, options.top_k,
         left, options.top_groups);
  }
}

/// NaN is larger than every number.
bool larger(double a, double b) noexcept {
  return std::isnan(a) ? !std::isnan(b) : a > b;
}

/// The largest of values in descending order, ties to the lower index: their indices to chosen[0, count).
void largest(const double* values, std::size_t size, std::int32_t* chosen, std::size_t count) noexcept {
  std::size_t have = 0;
  for (std::size_t i = 0; i < size; ++i) {
    std::size_t place = have;
    while (place > 0 && larger(values[i], values[chosen[place - 1]])) --place;
    if (place == count) continue;
    have = std::min(have + 1, count);
    for (std::size_t later = have - 1; later > place; --later) chosen[later] = chosen[later - 1];
    chosen[place] = static_cast<std::int32_t>(i);
  }
}

/// Chooses and weighs for one token after the other.
class Choice {
 public:
  /// `memory` has bytes().
  Choice(const RouterOptions& options, std::size_t experts, std::byte* memory)
      : options_(options), experts_(experts) {
    Pieces pieces(memory);
    biased_ = pieces.take<double>(experts);
    group_scores_ = pieces.take<double>(groups());
    best_groups_ = pieces.take<std::int32_t>(top_groups());
  }
  static std::size_t bytes(const RouterOptions& options, std::size_t experts) noexcept {
    const auto groups = static_cast<std::size_t>(options.groups);
    return whole_lines(experts * sizeof(double)) + whole_lines(groups * sizeof(double)) +
           whole_lines(groups * sizeof(std::int32_t));
  }

  void choose(const float* logits, std::int32_t* ids) {
    // Every score grows with its logit.
    const bool order_of_logits = options_.correction.empty() && options_.groups == 1;
    const double normaliser = order_of_logits ? 0 : log_sum(logits);
    for (std::size_t e = 0; e < experts_; ++e) {
      const auto logit = static_cast<double>(logits[e]);
      biased_[e] = order_of_logits ? logit : score(logit, normaliser);
      if (!options_.correction.empty()) biased_[e] += static_cast<double>(options_.correction[e]);
    }
    if (options_.groups == 1) return largest(biased_, experts_, ids, top_k());
    const std::size_t size = experts_ / groups(), kept = keep_best_groups(size);
    largest(biased_, kept, ids, top_k());
    for (std::size_t s = 0; s < top_k(); ++s) {
      const auto place = static_cast<std::size_t>(ids[s]);
      ids[s] = best_groups_[place / size] * static_cast<std::int32_t>(size) +
               static_cast<std::int32_t>(place % size);
    }
  }

  void weigh(const float* logits, const std::int32_t* ids, float* weights) {
    const bool softmax = options_.score == RouterScore::softmax;
    double most = -std::numeric_limits<double>::infinity(), sum = 0;
    if (softmax && options_.renormalize) {  // over the chosen
      for (std::size_t s = 0; s < top_k(); ++s) {
        const auto logit = static_cast<double>(logits[ids[s]]);
        most = larger(logit, most) ? logit : most;
      }
    }
    const double normaliser = softmax && options_.renormalize ? most : log_sum(logits);
    for (std::size_t s = 0; s < top_k(); ++s) sum += score(static_cast<double>(logits[ids[s]]), normaliser);
    constexpr double kNotZero = 1e-20;
    const double divisor = !options_.renormalize ? 1 : softmax ? sum : sum + kNotZero;
    for (std::size_t s = 0; s < top_k(); ++s) {
      const double weight = score(static_cast<double>(logits[ids[s]]), normaliser) / divisor;
      weights[s] = static_cast<float>(weight * static_cast<double>(options_.factor));
    }
  }

 private:
  std::size_t top_k() const noexcept { return static_cast<std::size_t>(options_.top_k); }
  std::size_t groups() const noexcept { return static_cast<std::size_t>(options_.groups); }
  std::size_t top_groups() const noexcept { return static_cast<std::size_t>(options_.top_groups); }

  /// ln of the sum of e^logit, where a softmax needs it.
  double log_sum(const float* logits) const noexcept {
    if (options_.score != RouterScore::softmax) return 0;
    double most = static_cast<double>(logits[0]), sum = 0;
    for (std::size_t e = 1; e < experts_; ++e) most = std::max(most, static_cast<double>(logits[e]));
    for (std::size_t e = 0; e < experts_; ++e) sum += std::exp(static_cast<double>(logits[e]) - most);
    return most + std::log(sum);
  }

  double score(double logit, double normaliser) const noexcept {
    switch (options_.score) {
      case RouterScore::softmax:
        return std::exp(logit - normaliser);
      case RouterScore::sigmoid:
        return 1 / (1 + std::exp(-logit));
      case RouterScore::sqrt_softplus:
        break;
    }
    return std::sqrt(std::max(logit, 0.0) + std::log1p(std::exp(-std::fabs(logit))));
  }

  /// Moves the biased scores of the best groups, in ascending order, to the front. Returns how many they are.
  std::size_t keep_best_groups(std::size_t size) noexcept {
    for (std::size_t g = 0; g < groups(); ++g) {
      const double* const group = biased_ + g * size;
      std::int32_t best[2];
      largest(group, size, best, 2);
      group_scores_[g] = group[best[0]] + group[best[1]];
    }
    largest(group_scores_, groups(), best_groups_, top_groups());
    std::sort(best_groups_, best_groups_ + top_groups());
    for (std::size_t i = 0; i < top_groups(); ++i) {
      const double* const group = biased_ + static_cast<std::size_t>(best_groups_[i]) * size;
      std::memmove(biased_ + i * size, group, size * sizeof(double));
    }
    return top_groups() * size;
  }

  const RouterOptions& options_;
  std::size_t experts_;
  double *biased_, *group_scores_;
  std::int32_t* best_groups_;
};

/// Tokens from which other threads are worth waking.
constexpr std::size_t kManyTokens = 64;

/// Chooses (unless `chosen`) and weighs for every row of logits, which row(worker, t) gives.
template <class Row>
void route(std::size_t tokens, std::size_t experts, const RouterOptions& options, const Routes& routes,
           bool chosen, Context context, std::byte* memory, const Row& row) {
  if (tokens < kManyTokens) context.threads = 1;
  const auto top_k = static_cast<std::size_t>(options.top_k);
  const std::size_t bytes = Choice::bytes(options, experts);
  parallel_for(context, tokens, [&](int worker, std::size_t t) {
    Choice choice(options, experts, memory + static_cast<std::size_t>(worker) * bytes);
    const float* const logits = row(worker, t);
    std::int32_t* const ids = routes.ids + t * top_k;
    if (!chosen) choice.choose(logits, ids);
    for (std::size_t s = 0; s < top_k; ++s) {
      if (ids[s] >= 0 && static_cast<std::size_t>(ids[s]) < experts) continue;
      fail(ErrorCode::invalid_argument, "{}: token {}, slot {}: expert {} of {}", kWho, t, s, ids[s],
           experts);
    }
    choice.weigh(logits, ids, routes.weights + t * top_k);
  });
}

void route_logits(const DenseView& logits, const RouterOptions& options, const Routes& routes, bool chosen) {
  if (logits.rank() == 0 || logits.shape.back() == 0) {
    fail(ErrorCode::invalid_argument, "{}: logits have shape {}, not [..., E]", kWho,
         to_string(logits.shape));
  }
  check_float(kWho, "logits", logits.dtype);
  check_options(options, logits.shape.back());
  const auto experts = static_cast<std::size_t>(logits.shape.back());
  const std::size_t tokens = rows_of(logits);
  const Context context{1, Isa::scalar};
  Pieces pieces(
      memory_of_call(kWho, tokens, whole_lines(experts * sizeof(float)) + Choice::bytes(options, experts)));
  auto* const buffer = pieces.take<float>(experts);
  route(tokens, experts, options, routes, chosen, context, pieces.take(0), [&](int, std::size_t t) {
    copy_rows_f32(logits, static_cast<std::int64_t>(t), static_cast<std::int64_t>(t) + 1, buffer);
    return buffer;
  });
}

}  // namespace

void choose_experts(const DenseView& logits, const RouterOptions& options, const Routes& routes) {
  route_logits(logits, options, routes, false);
}

void weigh_experts(const DenseView& logits, const RouterOptions& options, const Routes& routes) {
  route_logits(logits, options, routes, true);
}

Router::Router(const DenseView& weight, const DenseView& bias, RouterOptions options)
    : options_(std::move(options)), isa_(default_isa()) {
  if (weight.rank() != 2 || weight.shape[0] == 0) {
    fail(ErrorCode::invalid_argument, "{}: the weight has shape {}, not [E, H]", kWho,
         to_string(weight.shape));
  }
  check_float(kWho, "the weight", weight.dtype);
  experts_ = weight.shape[0];
  columns_ = weight.shape[1];
  check_options(options_, experts_);
  weight_ = floats_of(weight);
  if (bias.rank() == 0) return;
  check_float(kWho, "the bias", bias.dtype);
  if (bias.shape != Shape{experts_}) {
    fail(ErrorCode::invalid_argument, "{}: the bias has shape {}, not [{}]", kWho, to_string(bias.shape),
         experts_);
  }
  bias_ = floats_of(bias);
}

/// The logits of tokens, in pieces that threads can take.
void Router::product(const DenseView& x, float* floats, float* out, const Context& context) const {
  constexpr std::size_t kTokens = 32, kRows = 32;
  const auto columns = static_cast<std::size_t>(columns_), rows = static_cast<std::size_t>(experts_);
  const std::size_t tokens = rows_of(x), row_pieces = (rows + kRows - 1) / kRows;
  const std::size_t pieces = (tokens + kTokens - 1) / kTokens;
  const float* from = as_floats(x);
  if (from == nullptr) {
    parallel_for(context, pieces, [&](int, std::size_t piece) {
      const std::size_t first = piece * kTokens, end = std::min(first + kTokens, tokens);
      copy_rows_f32(x, static_cast<std::int64_t>(first), static_cast<std::int64_t>(end),
                    floats + first * columns);
    });
    from = floats;
  }
  parallel_for(context, pieces * row_pieces, [&](int, std::size_t item) {
    const std::size_t token = item / row_pieces * kTokens, row = item % row_pieces * kRows;
    kernel::cpu_expert_ops(isa_).dots({from + token * columns, columns, std::min(kTokens, tokens - token),
                                       weight_.data() + row * columns, std::min(kRows, rows - row), columns,
                                       bias_.empty() ? nullptr : bias_.data() + row, out + token * rows + row,
                                       rows});
  });
}

Context Router::context(std::size_t tokens, int threads) const noexcept {
  constexpr std::size_t kItem = 1 << 16;  // multiplications that are worth waking a thread
  return context_for(threads, isa_, tokens * weight_.size() / kItem);
}

void Router::logits(const DenseView& x, float* out, int threads) const {
  check_input(kWho, x, columns_);
  const std::size_t tokens = rows_of(x);
  const std::size_t bytes =
      as_floats(x) == nullptr ? tokens * static_cast<std::size_t>(columns_) * sizeof(float) : 0;
  auto* const floats = reinterpret_cast<float*>(memory_of_call(kWho, tokens, bytes));
  product(x, floats, out, context(tokens, threads));
}

void Router::run(const DenseView& x, const Routes& routes, int threads, bool chosen) const {
  check_input(kWho, x, columns_);
  const auto experts = static_cast<std::size_t>(experts_);
  const std::size_t tokens = rows_of(x);
  const Context on = context(tokens, threads);
  const std::size_t floats = as_floats(x) == nullptr ? tokens * static_cast<std::size_t>(columns_) : 0;
  const std::size_t choices = static_cast<std::size_t>(on.threads) * Choice::bytes(options_, experts);
  const std::size_t bytes =
      whole_lines(tokens * experts * sizeof(float)) + whole_lines(floats * sizeof(float)) + choices;
  Pieces pieces(memory_of_call(kWho, tokens, bytes));
  auto* const all = pieces.take<float>(tokens * experts);
  product(x, pieces.take<float>(floats), all, on);
  route(tokens, experts, options_, routes, chosen, on, pieces.take(choices),
        [&](int, std::size_t t) { return all + t * experts; });
}

void Router::forward(const DenseView& x, const Routes& routes, int threads) const {
  run(x, routes, threads, false);
}

void Router::weigh(const DenseView& x, const Routes& routes, int threads) const {
  run(x, routes, threads, true);
}

}  // namespace mxfp4
