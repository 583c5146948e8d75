#include "mxfp4/layer/mlp.h"

#include <utility>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/layer/arguments_internal.h"

namespace mxfp4 {

Mlp::Mlp(Router router, Experts experts) : router_(std::move(router)), experts_(std::move(experts)) {
  if (router_.experts() == experts_.count() && router_.columns() == experts_.hidden()) return;
  fail(ErrorCode::invalid_argument, "mlp: a router of shape [{}, {}] for {} experts of hidden size {}",
       router_.experts(), router_.columns(), experts_.count(), experts_.hidden());
}

void Mlp::forward(const DenseView& x, Dtype dtype, void* y, const ForwardOptions& options) const {
  check_input("mlp", x, experts_.hidden());
  check_float("mlp", "y", dtype);
  const std::size_t tokens = rows_of(x), routes = tokens * static_cast<std::size_t>(router_.top_k());
  const auto lay_out = [&](Pieces& pieces) {
    auto* const ids = pieces.take<std::int32_t>(routes);
    return Routes{ids, pieces.take<float>(routes)};
  };
  Pieces size;
  lay_out(size);
  Pieces pieces(memory_of_call("mlp", tokens, size.bytes(), Kept::mlp));
  const Routes chosen = lay_out(pieces);
  router_.forward(x, chosen, options.threads);
  experts_.forward(x, {chosen.ids, chosen.weights, router_.top_k()}, dtype, y, options);
}

}  // namespace mxfp4
