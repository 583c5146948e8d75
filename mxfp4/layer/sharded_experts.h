// The experts of a mixture over several ranks.
#pragma once

#include <cstdint>
#include <optional>

#include "mxfp4/comm/communicator.h"
#include "mxfp4/comm/shard.h"
#include "mxfp4/layer/experts.h"

namespace mxfp4 {

/// Where the time of forward() went, in seconds.
struct ShardTimes {
  double compute = 0;   ///< this rank's own work
  double wait = 0;      ///< for the slowest rank to come
  double exchange = 0;  ///< of results
};

/// As Experts, each rank with the weights that a plan gives it. Every rank calls with the same tokens and
/// choices, and gets the same result.
///
/// Without tensor parallelism (plan.tensor == 1) a rank makes the outputs of its routes, all ranks gather
/// them, and each adds them up in the order of the experts: the bits are those of Experts, whatever the
/// number of ranks, the map and the replicas. With it every rank's sum over its channels is added in the
/// order of the ranks: the result is within the rounding of such a sum, and depends on the plan.
class ShardedExperts {
 public:
  /// `mine`: made of shard_weights(all, plan, rank), none for a rank without experts. `ranks` must outlive
  /// the object. All ranks call together. Throws Error invalid_argument unless the plan is for as many ranks,
  /// and the ranks' layers have one hidden size.
  ShardedExperts(Communicator& ranks, ShardPlan plan, std::optional<Experts> mine);

  const ShardPlan& plan() const noexcept { return plan_; }
  std::int64_t hidden() const noexcept { return hidden_; }
  std::size_t memory() const noexcept { return mine_ ? mine_->memory() : 0; }  ///< of this rank

  /// As Experts::forward(), by one thread at a time. With `times` all ranks wait for each other before they
  /// exchange, so that it can be told apart; all pass it or none. Throws also what a Communicator throws.
  void forward(const DenseView& x, const ExpertChoice& choice, Dtype dtype, void* y,
               const ForwardOptions& options = {}, ShardTimes* times = nullptr) const;

 private:
  void gather_routes(const DenseView& x, const ExpertChoice& choice, float* sums,
                     const ForwardOptions& options, ShardTimes* times) const;
  void add_shares(const DenseView& x, const ExpertChoice& choice, float* sums, const ForwardOptions& options,
                  ShardTimes* times) const;
  void meet(ShardTimes* times) const;

  Communicator& ranks_;
  ShardPlan plan_;
  std::optional<Experts> mine_;
  std::int64_t hidden_ = 0;
};

}  // namespace mxfp4
