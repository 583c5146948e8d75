#include "mxfp4/layer/experts.h"

#include <memory>
#include <optional>
#include <utility>

#include "mxfp4/capi/capi_internal.h"
#include "mxfp4/layer/shared_expert.h"

struct mxfp4_experts {
  mxfp4::Experts experts;
};

struct mxfp4_shared_expert {
  mxfp4::SharedExpert expert;
};

namespace mxfp4::capi {
namespace {

mxfp4_expert_weights known_weights(std::string_view call, const mxfp4_expert_weights* given) {
  constexpr std::size_t first = offsetof(mxfp4_expert_weights, limit) + sizeof(float);
  require(call, "weights", given);
  const mxfp4_expert_weights w = known_part(call, "weights", given, first);
  if (w.experts < 1) {
    fail(ErrorCode::invalid_argument, "{}: weights->experts is {}, below 1", call, w.experts);
  }
  require(call, "weights->down", w.down);
  return w;
}

GatedUnit unit_of(const mxfp4_expert_weights& w) {
  GatedUnit unit{w.alpha == 0 ? 1 : w.alpha, w.beta};
  if (w.limit != 0) unit.limit = w.limit;
  return unit;
}

std::unique_ptr<mxfp4_experts> create(const mxfp4_expert_weights* weights,
                                      const mxfp4_linear_options* options) {
  constexpr const char* call = "mxfp4_experts_create";
  const mxfp4_expert_weights w = known_weights(call, weights);
  const auto matrices = [&](const char* name, const mxfp4_matrix* matrix, const float* bias,
                            std::size_t bias_count) -> ExpertMatrices {
    const Projection given{name, matrix, fmt::format("weights->{}_bias", name), bias, bias_count};
    if (matrix != nullptr) return matrices_of(call, given, w.experts);
    require_count(call, given.bias_name, bias, bias_count, 0);
    return {};
  };
  const ExpertWeights made{matrices("gate_up", w.gate_up, w.gate_up_bias, w.gate_up_bias_count),
                           matrices("gate", w.gate, w.gate_bias, w.gate_bias_count),
                           matrices("up", w.up, w.up_bias, w.up_bias_count),
                           matrices("down", w.down, w.down_bias, w.down_bias_count),
                           {unit_of(w)}};
  return std::make_unique<mxfp4_experts>(mxfp4_experts{Experts(made, layer_options_of(call, options))});
}

std::unique_ptr<mxfp4_shared_expert> create_shared(const mxfp4_expert_weights* weights, const float* share,
                                                   std::size_t share_count,
                                                   const mxfp4_linear_options* given) {
  constexpr const char* call = "mxfp4_shared_expert_create";
  const mxfp4_expert_weights w = known_weights(call, weights);
  if (w.experts != 1) {
    fail(ErrorCode::invalid_argument, "{}: weights->experts is {}, but a shared expert is one", call,
         w.experts);
  }
  if (w.gate_up != nullptr) {
    fail(ErrorCode::invalid_argument, "{}: weights->gate_up is given, but gate and up must be apart", call);
  }
  require_count(call, "weights->gate_up_bias", w.gate_up_bias, w.gate_up_bias_count, 0);
  const LayerOptions options = layer_options_of(call, given);
  const auto linear = [&](const char* name, const mxfp4_matrix* matrix, const float* bias,
                          std::size_t bias_count) {
    const Mxfp4View view = view_of(call, name, matrix);
    if (bias_count > 0) require(call, fmt::format("weights->{}_bias", name), bias);
    return Linear(view, {bias, bias_count}, options);
  };
  Linear gate = linear("gate", w.gate, w.gate_bias, w.gate_bias_count);
  Linear up = linear("up", w.up, w.up_bias, w.up_bias_count);
  Linear down = linear("down", w.down, w.down_bias, w.down_bias_count);
  std::optional<DenseLinear> shares;
  if (share_count > 0) {
    require_count(call, "share", share, share_count, static_cast<std::size_t>(down.rows()));
    shares.emplace("share", dense_view(share, Dtype::f32, {1, down.rows()}));
  }
  return std::make_unique<mxfp4_shared_expert>(mxfp4_shared_expert{
      SharedExpert(std::move(gate), std::move(up), std::move(down), unit_of(w), std::move(shares))});
}

ExpertChoice choice_of(std::string_view call, const mxfp4_expert_choice* choice, std::int64_t tokens) {
  constexpr std::size_t first = offsetof(mxfp4_expert_choice, weights_on_input) + sizeof(std::int32_t);
  require(call, "choice", choice);
  const mxfp4_expert_choice c = known_part(call, "choice", choice, first);
  const std::size_t count = count_of(call, tokens, c.top_k);
  require_count(call, "choice->ids", c.ids, c.id_count, count);
  require_count(call, "choice->weights", c.weights, c.weight_count, count);
  return {c.ids, c.weights, c.top_k, flag_of(call, "choice->weights_on_input", c.weights_on_input)};
}

}  // namespace
}  // namespace mxfp4::capi

extern "C" {

mxfp4_status mxfp4_experts_create(const mxfp4_expert_weights* weights, const mxfp4_linear_options* options,
                                  mxfp4_experts** experts) {
  return mxfp4::capi::guarded([&] {
    mxfp4::capi::require("mxfp4_experts_create", "experts", experts);
    *experts = nullptr;
    *experts = mxfp4::capi::create(weights, options).release();
  });
}

void mxfp4_experts_destroy(mxfp4_experts* experts) {
  delete experts;
}

int64_t mxfp4_experts_count(const mxfp4_experts* experts) {
  return experts == nullptr ? 0 : experts->experts.count();
}

int64_t mxfp4_experts_hidden(const mxfp4_experts* experts) {
  return experts == nullptr ? 0 : experts->experts.hidden();
}

int64_t mxfp4_experts_intermediate(const mxfp4_experts* experts) {
  return experts == nullptr ? 0 : experts->experts.intermediate();
}

size_t mxfp4_experts_memory(const mxfp4_experts* experts) {
  return experts == nullptr ? 0 : experts->experts.memory();
}

mxfp4_status mxfp4_experts_forward(const mxfp4_experts* experts, const mxfp4_expert_choice* choice,
                                   int64_t tokens, const void* x, size_t x_bytes, mxfp4_dtype x_dtype,
                                   void* y, size_t y_bytes, mxfp4_dtype y_dtype,
                                   const mxfp4_forward_options* options) {
  using namespace mxfp4::capi;
  return guarded([&] {
    constexpr const char* call = "mxfp4_experts_forward";
    require(call, "experts", experts);
    const std::int64_t hidden = experts->experts.hidden();
    const ForwardArguments arguments = forward_arguments(call, {tokens, hidden, x, x_bytes, x_dtype},
                                                         {tokens, hidden, y, y_bytes, y_dtype}, options);
    experts->experts.forward(arguments.x, choice_of(call, choice, tokens), arguments.dtype, y,
                             arguments.options);
  });
}

mxfp4_status mxfp4_shared_expert_create(const mxfp4_expert_weights* weights, const float* share,
                                        size_t share_count, const mxfp4_linear_options* options,
                                        mxfp4_shared_expert** expert) {
  return mxfp4::capi::guarded([&] {
    mxfp4::capi::require("mxfp4_shared_expert_create", "expert", expert);
    *expert = nullptr;
    *expert = mxfp4::capi::create_shared(weights, share, share_count, options).release();
  });
}

void mxfp4_shared_expert_destroy(mxfp4_shared_expert* expert) {
  delete expert;
}

int64_t mxfp4_shared_expert_hidden(const mxfp4_shared_expert* expert) {
  return expert == nullptr ? 0 : expert->expert.hidden();
}

int64_t mxfp4_shared_expert_intermediate(const mxfp4_shared_expert* expert) {
  return expert == nullptr ? 0 : expert->expert.intermediate();
}

size_t mxfp4_shared_expert_memory(const mxfp4_shared_expert* expert) {
  return expert == nullptr ? 0 : expert->expert.memory();
}

mxfp4_status mxfp4_shared_expert_add(const mxfp4_shared_expert* expert, int64_t tokens, const void* x,
                                     size_t x_bytes, mxfp4_dtype x_dtype, float* y, size_t y_bytes,
                                     const mxfp4_forward_options* options) {
  using namespace mxfp4::capi;
  return guarded([&] {
    constexpr const char* call = "mxfp4_shared_expert_add";
    require(call, "expert", expert);
    const std::int64_t hidden = expert->expert.hidden();
    const ForwardArguments arguments = forward_arguments(call, {tokens, hidden, x, x_bytes, x_dtype},
                                                         {tokens, hidden, y, y_bytes, MXFP4_F32}, options);
    expert->expert.add(arguments.x, y, arguments.options);
  });
}

}  // extern "C"
