// The MLP of a mixture-of-experts layer: router, experts, and the expert that all tokens share.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "mxfp4/layer/experts.h"
#include "mxfp4/layer/router.h"
#include "mxfp4/layer/shared_expert.h"

namespace mxfp4 {

/// What not every MLP has.
struct MlpParts {
  std::optional<SharedExpert> shared = {};
  /// [V, top_k]: the experts of every token id, instead of the router's choice. It weighs them.
  std::vector<std::int32_t> table = {};
};

/// Input to output. Movable; forward() may be called from several threads at once.
class Mlp {
 public:
  /// Throws Error invalid_argument unless all are for as many experts and columns.
  Mlp(Router router, Experts experts, MlpParts parts = {});

  const Router& router() const noexcept { return router_; }
  const Experts& experts() const noexcept { return experts_; }
  const std::optional<SharedExpert>& shared() const noexcept { return parts_.shared; }
  bool needs_token_ids() const noexcept { return !parts_.table.empty(); }
  std::size_t memory() const noexcept;  ///< bytes of all weights

  /// As Experts::forward(), with what the router chooses. `token_ids` has the id of every row of x where a
  /// table is asked, and is not looked at otherwise. Throws also Error invalid_argument for another number of
  /// them, or one that the table does not have.
  void forward(const DenseView& x, Dtype dtype, void* y, const ForwardOptions& options = {},
               std::span<const std::int32_t> token_ids = {}) const;

 private:
  void look_up(std::span<const std::int32_t> token_ids, std::size_t tokens, std::int32_t* ids) const;

  Router router_;
  Experts experts_;
  MlpParts parts_;
  bool routed_by_device_ = false;
};

}  // namespace mxfp4
