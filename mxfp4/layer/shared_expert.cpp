#include "mxfp4/layer/shared_expert.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/base/parallel.h"
#include "mxfp4/kernel/expert_ops.h"
#include "mxfp4/layer/arguments_internal.h"

namespace mxfp4 {
namespace {

constexpr const char* kWho = "shared expert";

/// Tokens that are on their way at a time: their activations stay in the caches.
constexpr std::size_t kBatch = 512;

using Projection = SharedExpert::Projection;

Shape shape_of(const Projection& projection) {
  return std::visit([](const auto& linear) { return Shape{linear.rows(), linear.columns()}; }, projection);
}

std::size_t bytes_of(const Projection& projection) {
  return std::visit([](const auto& linear) { return linear.memory(); }, projection);
}

void check_shape(const char* name, const Shape& shape, const Shape& expected) {
  if (shape == expected) return;
  fail(ErrorCode::invalid_argument, "{}: {} has shape {}, not {}", kWho, name, to_string(shape),
       to_string(expected));
}

/// Rows without gaps, as a view whose memory the thread keeps.
const DenseView& rows(const float* data, std::size_t count, std::size_t columns) {
  const auto n = static_cast<std::int64_t>(count), k = static_cast<std::int64_t>(columns);
  thread_local DenseView view = dense_view(nullptr, Dtype::f32, {0, 1});
  view.data = reinterpret_cast<const std::byte*>(data);
  view.shape.assign({n, k});
  view.strides.assign({k, 1});
  return view;
}

void multiply(const Projection& projection, const DenseView& x, float* y, const ForwardOptions& options) {
  if (const auto* const linear = std::get_if<Linear>(&projection)) {
    linear->forward(x, Dtype::f32, y, options);
  } else {
    std::get<DenseLinear>(projection).forward(x, y, options.threads);
  }
}

}  // namespace

SharedExpert::SharedExpert(Projection gate, Projection up, Projection down, const GatedUnit& unit,
                           std::optional<DenseLinear> share)
    : gate_(std::move(gate)),
      up_(std::move(up)),
      down_(std::move(down)),
      unit_(unit),
      share_(std::move(share)) {
  check_shape("gate", shape_of(gate_), {intermediate(), hidden()});
  check_shape("up", shape_of(up_), {intermediate(), hidden()});
  check_unit(kWho, unit_);
  if (share_) check_shape("share", {share_->rows(), share_->columns()}, {1, hidden()});
}

std::int64_t SharedExpert::hidden() const noexcept {
  return std::visit([](const auto& linear) { return linear.rows(); }, down_);
}
std::int64_t SharedExpert::intermediate() const noexcept {
  return std::visit([](const auto& linear) { return linear.columns(); }, down_);
}
std::size_t SharedExpert::memory() const noexcept {
  return bytes_of(gate_) + bytes_of(up_) + bytes_of(down_) + (share_ ? share_->memory() : 0);
}

void SharedExpert::add(const DenseView& x, float* y, const ForwardOptions& options) const {
  check_input(kWho, x, hidden());
  const auto columns = static_cast<std::size_t>(hidden()), inner = static_cast<std::size_t>(intermediate());
  const std::size_t tokens = rows_of(x), batch = std::min(tokens, kBatch);
  const kernel::ExpertOps& ops = kernel::cpu_expert_ops(isa_);
  const float* const floats = as_floats(x);
  Pieces size;
  const auto lay_out = [&](Pieces& memory) {
    struct {
      float *copied, *gate, *up, *out, *share;
    } at;
    at.copied = memory.take<float>(floats == nullptr ? batch * columns : 0);
    at.gate = memory.take<float>(batch * inner);
    at.up = memory.take<float>(batch * inner);
    at.out = memory.take<float>(batch * columns);
    at.share = memory.take<float>(batch);
    return at;
  };
  lay_out(size);
  Pieces memory(memory_of_call(kWho, tokens, size.bytes(), Kept::shared));
  const auto at = lay_out(memory);
  for (std::size_t first = 0; first < tokens; first += batch) {
    const std::size_t count = std::min(batch, tokens - first);
    const float* const in = floats == nullptr ? at.copied : floats + first * columns;
    if (floats == nullptr) {
      copy_rows_f32(x, static_cast<std::int64_t>(first), static_cast<std::int64_t>(first + count), at.copied);
    }
    multiply(gate_, rows(in, count, columns), at.gate, options);
    multiply(up_, rows(in, count, columns), at.up, options);
    if (share_) share_->forward(rows(in, count, columns), at.share, options.threads);
    const Context context = context_for(options.threads, isa_, count);
    parallel_for(context, count, [&](int, std::size_t t) {
      float* const gate = at.gate + t * inner;
      ops.gated_unit({gate, at.up + t * inner, false, inner, 1, inner, unit_.alpha, unit_.beta, unit_.limit,
                      gate, inner});
    });
    multiply(down_, rows(at.gate, count, inner), at.out, options);
    parallel_for(context, count, [&](int, std::size_t t) {
      const double share = share_ ? 1 / (1 + std::exp(-static_cast<double>(at.share[t]))) : 1;
      const kernel::Route route{static_cast<std::uint32_t>(first + t), static_cast<float>(share)};
      ops.add_routes({at.out + t * columns, columns, &route, 1, columns, y, columns});
    });
  }
}

}  // namespace mxfp4
