#include "mxfp4/layer/router.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/base/parallel.h"
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
           bool chosen, const Context& context, std::byte* memory, const Row& row) {
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
    : weight_(kWho, weight, bias), options_(std::move(options)) {
  check_options(options_, experts());
}

void Router::logits(const DenseView& x, float* out, int threads) const {
  weight_.forward(x, out, threads);
}

void Router::run(const DenseView& x, const Routes& routes, int threads, bool chosen) const {
  check_input(kWho, x, columns());
  const std::size_t tokens = rows_of(x), experts = static_cast<std::size_t>(weight_.rows());
  const Context context = context_for(threads, Isa::scalar, tokens / kManyTokens);
  const std::size_t choices = static_cast<std::size_t>(context.threads) * Choice::bytes(options_, experts);
  Pieces pieces(
      memory_of_call(kWho, tokens, whole_lines(tokens * experts * sizeof(float)) + whole_lines(choices)));
  auto* const all = pieces.take<float>(tokens * experts);
  weight_.forward(x, all, threads);
  route(tokens, experts, options_, routes, chosen, context, pieces.take(choices),
        [&](int, std::size_t t) { return all + t * experts; });
}

void Router::forward(const DenseView& x, const Routes& routes, int threads) const {
  run(x, routes, threads, false);
}

void Router::weigh(const DenseView& x, const Routes& routes, int threads) const {
  run(x, routes, threads, true);
}

}  // namespace mxfp4
