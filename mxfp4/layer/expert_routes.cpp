#include <algorithm>
#include <limits>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/layer/arguments_internal.h"
#include "mxfp4/layer/expert_routes_internal.h"
#include "mxfp4/layer/workspace_internal.h"
#include "mxfp4/tensor/shape.h"

namespace mxfp4 {

ExpertRoutes::ExpertRoutes(const std::string& who, const std::int32_t* ids, std::size_t tokens,
                           std::size_t top_k, std::size_t experts)
    : tokens_(tokens), top_k_(top_k) {
  const std::size_t most = slots();
  if (most > std::numeric_limits<std::uint32_t>::max()) {
    fail(ErrorCode::invalid_argument, "{}: {} tokens with {} experts each are too many for one call", who,
         tokens, top_k);
  }
  const std::size_t bytes = whole_lines(experts * sizeof(ActiveExpert)) +
                            whole_lines(most * sizeof(std::uint32_t)) +
                            whole_lines((experts + 1) * sizeof(std::uint32_t));
  Pieces pieces(memory_of_call(who.c_str(), tokens, bytes, Kept::routes));
  active_ = pieces.take<ActiveExpert>(experts);
  places_ = pieces.take<std::uint32_t>(most);
  auto* const next = pieces.take<std::uint32_t>(experts + 1);
  std::fill_n(next, experts + 1, 0);
  for (std::size_t i = 0; i < most; ++i) {
    if (ids[i] == -1) continue;
    if (ids[i] < 0 || static_cast<std::size_t>(ids[i]) >= experts) {
      fail(ErrorCode::invalid_argument, "{}: token {}, slot {}: expert {} of {}", who, i / top_k, i % top_k,
           ids[i], experts);
    }
    ++next[ids[i] + 1];
    ++count_;
  }
  for (std::size_t e = 0; e < experts; ++e) {
    const std::uint32_t count = next[e + 1];
    next[e + 1] += next[e];
    if (count > 0) active_[active_count_++] = {static_cast<std::uint32_t>(e), next[e], count};
  }
  for (std::size_t i = 0; i < most; ++i) {
    if (ids[i] != -1) places_[next[ids[i]]++] = static_cast<std::uint32_t>(i);
  }
}

std::size_t ExpertRoutes::most() const noexcept {
  std::size_t most = tokens_;
  for (const ActiveExpert& expert : active()) most = std::max<std::size_t>(most, expert.count);
  return most;
}

WeightStack stack_of(const std::string& who, const ExpertMatrices& matrices, const LayerOptions& options) {
  if (matrices.weights.empty()) fail(ErrorCode::invalid_argument, "{}: there are no weights", who);
  std::vector<float> bias;
  const Shape& shape = matrices.weights.front().shape;
  if (matrices.bias.rank() > 0 && shape.size() == 2) {
    const Shape expected = {static_cast<std::int64_t>(matrices.weights.size()), shape[0]};
    if (matrices.bias.shape != expected) {
      fail(ErrorCode::invalid_argument, "{}: the bias has shape {}, not {}", who,
           to_string(matrices.bias.shape), to_string(expected));
    }
    check_float(who.c_str(), "the bias", matrices.bias.dtype);
    bias = floats_of(matrices.bias);
  }
  return WeightStack(who, matrices.weights, std::move(bias), options);
}

}  // namespace mxfp4
