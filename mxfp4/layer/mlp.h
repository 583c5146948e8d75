// The MLP of a mixture-of-experts layer: router and experts.
#pragma once

#include "mxfp4/layer/experts.h"
#include "mxfp4/layer/router.h"

namespace mxfp4 {

/// Input to output. Movable; forward() may be called from several threads at once.
class Mlp {
 public:
  /// Throws Error invalid_argument unless the two are for as many experts and columns.
  Mlp(Router router, Experts experts);

  const Router& router() const noexcept { return router_; }
  const Experts& experts() const noexcept { return experts_; }

  /// As Experts::forward(), with what the router chooses.
  void forward(const DenseView& x, Dtype dtype, void* y, const ForwardOptions& options = {}) const;

 private:
  Router router_;
  Experts experts_;
};

}  // namespace mxfp4
