#include "mxfp4/layer/mlp.h"

#include <algorithm>
#include <utility>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/layer/arguments_internal.h"
#include "mxfp4/layer/sums_internal.h"

namespace mxfp4 {

Mlp::Mlp(Router router, Experts experts, MlpParts parts)
    : router_(std::move(router)), experts_(std::move(experts)), parts_(std::move(parts)) {
  if (router_.experts() != experts_.count() || router_.columns() != experts_.hidden()) {
    fail(ErrorCode::invalid_argument, "mlp: a router of shape [{}, {}] for {} experts of hidden size {}",
         router_.experts(), router_.columns(), experts_.count(), experts_.hidden());
  }
  if (parts_.shared && parts_.shared->hidden() != experts_.hidden()) {
    fail(ErrorCode::invalid_argument, "mlp: a shared expert of hidden size {} beside experts of {}",
         parts_.shared->hidden(), experts_.hidden());
  }
  const auto top_k = static_cast<std::size_t>(router_.top_k());
  if (parts_.table.size() % top_k != 0) {
    fail(ErrorCode::invalid_argument, "mlp: a table of {} experts, not a multiple of top_k = {}",
         parts_.table.size(), top_k);
  }
  for (std::size_t i = 0; i < parts_.table.size(); ++i) {
    if (parts_.table[i] >= 0 && parts_.table[i] < experts_.count()) continue;
    fail(ErrorCode::invalid_argument, "mlp: the table sends token id {} to expert {} of {}", i / top_k,
         parts_.table[i], experts_.count());
  }
  routed_by_device_ = experts_.route_by(router_);
}

std::size_t Mlp::memory() const noexcept {
  return router_.memory() + experts_.memory() + (parts_.shared ? parts_.shared->memory() : 0) +
         parts_.table.size() * sizeof(std::int32_t);
}

void Mlp::look_up(std::span<const std::int32_t> token_ids, std::size_t tokens, std::int32_t* ids) const {
  if (token_ids.size() != tokens) {
    fail(ErrorCode::invalid_argument, "mlp: {} token ids for {} tokens, whose experts a table tells",
         token_ids.size(), tokens);
  }
  const auto top_k = static_cast<std::size_t>(router_.top_k());
  for (std::size_t t = 0; t < token_ids.size(); ++t) {
    const std::size_t known = parts_.table.size() / top_k;
    if (token_ids[t] < 0 || static_cast<std::size_t>(token_ids[t]) >= known) {
      fail(ErrorCode::invalid_argument, "mlp: token {} has id {}; the table has {}", t, token_ids[t], known);
    }
    std::copy_n(parts_.table.data() + static_cast<std::size_t>(token_ids[t]) * top_k, top_k, ids + t * top_k);
  }
}

void Mlp::forward(const DenseView& x, Dtype dtype, void* y, const ForwardOptions& options,
                  std::span<const std::int32_t> token_ids) const {
  check_input("mlp", x, experts_.hidden());
  check_float("mlp", "y", dtype);
  const std::size_t tokens = rows_of(x), columns = static_cast<std::size_t>(experts_.hidden());
  const std::size_t routes = tokens * static_cast<std::size_t>(router_.top_k());
  const bool summed = parts_.shared && !holds_floats(dtype, y);  // in memory of this call
  float* sums = nullptr;
  const auto lay_out = [&](Pieces& pieces) {
    sums = pieces.take<float>(summed ? tokens * columns : 0);
    auto* const ids = pieces.take<std::int32_t>(routes);
    return Routes{ids, pieces.take<float>(routes)};
  };
  Pieces size;
  lay_out(size);
  Pieces pieces(memory_of_call("mlp", tokens, size.bytes(), Kept::mlp));
  const Routes chosen = lay_out(pieces);
  const Dtype out = summed ? Dtype::f32 : dtype;
  void* const to = summed ? sums : y;
  if (needs_token_ids()) look_up(token_ids, tokens, chosen.ids);
  if (routed_by_device_) {
    experts_.forward_routed(x, needs_token_ids() ? chosen.ids : nullptr, router_.top_k(), out, to, options);
  } else {
    needs_token_ids() ? router_.weigh(x, chosen, options.threads)
                      : router_.forward(x, chosen, options.threads);
    experts_.forward(x, {chosen.ids, chosen.weights, router_.top_k()}, out, to, options);
  }
  if (!parts_.shared) return;
  parts_.shared->add(x, summed ? sums : static_cast<float*>(y), options);
  if (!summed) return;
  const Context context = context_for(options.threads, Isa::scalar, tokens);
  write_rows(context, sums, tokens, columns, dtype, static_cast<std::byte*>(y));
}

}  // namespace mxfp4
