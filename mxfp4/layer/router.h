// The router of a mixture of experts: which of them a token goes to, and with which weights.
#pragma once

#include <cstddef>
#include <cstdint>

#include "mxfp4/base/context.h"
#include "mxfp4/kernel/router_options.h"
#include "mxfp4/layer/dense_linear.h"
#include "mxfp4/tensor/view.h"

namespace mxfp4 {

using kernel::RouterOptions;
using kernel::RouterScore;

/// Experts that a batch goes to: [T, top_k] each, rows without gaps.
struct Routes {
  std::int32_t* ids = nullptr;
  float* weights = nullptr;
};

/// Chooses from `logits` [..., E], F32, BF16 or F16. A NaN counts as larger than every number and makes the
/// weights of its token NaN. Throws Error invalid_argument for options that E experts do not allow.
void choose_experts(const DenseView& logits, const RouterOptions& options, const Routes& routes);

/// The weights of experts that are chosen already, by a table of token ids for example: `routes.ids` is read.
/// Throws as well for an id outside of [0, E), naming token and slot.
void weigh_experts(const DenseView& logits, const RouterOptions& options, const Routes& routes);

/// logits = x W^T + bias, in f32, and what becomes of them. Results depend neither on the number of threads
/// nor on the instruction set. Thread-safe.
class Router {
 public:
  /// `weight` is [E, H], the bias [E] or empty (rank 0): F32, BF16 or F16, any strides; both are copied.
  /// Throws Error invalid_argument for other shapes and dtypes, and options that E experts do not allow.
  Router(const DenseView& weight, const DenseView& bias, RouterOptions options);

  std::int64_t experts() const noexcept { return weight_.rows(); }     ///< E
  std::int64_t columns() const noexcept { return weight_.columns(); }  ///< H
  int top_k() const noexcept { return options_.top_k; }
  std::size_t memory() const noexcept { return weight_.memory(); }  ///< bytes that it owns
  const DenseLinear& weight() const noexcept { return weight_; }
  const RouterOptions& options() const noexcept { return options_; }

  /// x is [..., H]: one row per token.
  void forward(const DenseView& x, const Routes& routes, int threads = available_threads()) const;
  /// weigh_experts() of x.
  void weigh(const DenseView& x, const Routes& routes, int threads = available_threads()) const;
  /// The logits, [T, E].
  void logits(const DenseView& x, float* out, int threads = available_threads()) const;

 private:
  void run(const DenseView& x, const Routes& routes, int threads, bool chosen) const;

  DenseLinear weight_;
  RouterOptions options_;
};

}  // namespace mxfp4
