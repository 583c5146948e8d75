#include "mxfp4/layer/experts.h"

#include <memory>

#include "mxfp4/capi/capi_internal.h"
#include "mxfp4/layer/router.h"

struct mxfp4_experts {
  mxfp4::Experts experts;
};

namespace mxfp4::capi {
namespace {

/// The values of a [rows, columns] array.
std::size_t count_of(std::string_view call, std::int64_t rows, std::int64_t columns) {
  return dense_bytes(call, Dtype::f32, rows, columns, columns) / sizeof(float);
}

/// One projection of all experts; without a matrix, none.
ExpertMatrices matrices_of(const char* name, const mxfp4_matrix* matrix, const float* bias,
                           std::size_t bias_count, std::int64_t experts) {
  constexpr const char* call = "mxfp4_experts_create";
  const std::string bias_name = fmt::format("weights->{}_bias", name);
  if (matrix == nullptr) {
    require_count(call, bias_name, bias, bias_count, 0);
    return {};
  }
  Mxfp4View view = view_of(call, name, matrix);
  const std::int64_t rows = view.shape[0];
  if (rows < experts || rows % experts != 0) {
    fail(ErrorCode::invalid_argument, "{}: {}->rows is {}, which {} experts cannot share", call, name, rows,
         experts);
  }
  view.shape = {experts, rows / experts, view.shape[1]};
  if (bias_count == 0) return stacked(view);
  require_count(call, bias_name, bias, bias_count, static_cast<std::size_t>(rows));
  return stacked(view, dense_view(bias, Dtype::f32, {experts, rows / experts}));
}

std::unique_ptr<mxfp4_experts> create(const mxfp4_expert_weights* weights,
                                      const mxfp4_linear_options* options) {
  constexpr const char* call = "mxfp4_experts_create";
  constexpr std::size_t first = offsetof(mxfp4_expert_weights, limit) + sizeof(float);
  require(call, "weights", weights);
  const mxfp4_expert_weights w = known_part(call, "weights", weights, first);
  if (w.experts < 1) {
    fail(ErrorCode::invalid_argument, "{}: weights->experts is {}, below 1", call, w.experts);
  }
  require(call, "weights->down", w.down);
  ExpertWeights made;
  made.gate_up = matrices_of("gate_up", w.gate_up, w.gate_up_bias, w.gate_up_bias_count, w.experts);
  made.gate = matrices_of("gate", w.gate, w.gate_bias, w.gate_bias_count, w.experts);
  made.up = matrices_of("up", w.up, w.up_bias, w.up_bias_count, w.experts);
  made.down = matrices_of("down", w.down, w.down_bias, w.down_bias_count, w.experts);
  GatedUnit unit{w.alpha == 0 ? 1 : w.alpha, w.beta};
  if (w.limit != 0) unit.limit = w.limit;
  made.unit = {unit};
  return std::make_unique<mxfp4_experts>(mxfp4_experts{Experts(made, layer_options_of(call, options))});
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

RouterScore score_of(std::string_view call, std::int32_t score) {
  switch (score) {
    case MXFP4_SOFTMAX:
      return RouterScore::softmax;
    case MXFP4_SIGMOID:
      return RouterScore::sigmoid;
    case MXFP4_SQRT_SOFTPLUS:
      return RouterScore::sqrt_softplus;
  }
  fail(ErrorCode::invalid_argument,
       "{}: options->score is {}, none of softmax (0), sigmoid (1), sqrt_softplus (2)", call, score);
}

void route(const DenseView& logits, std::int32_t top_k, const mxfp4_route_options* given,
           const Routes& routes) {
  constexpr const char* call = "mxfp4_route";
  constexpr std::size_t first = offsetof(mxfp4_route_options, chosen) + sizeof(std::int32_t);
  const mxfp4_route_options known = known_part(call, "options", given, first);
  RouterOptions options;
  options.top_k = top_k;
  options.score = score_of(call, known.score);
  options.renormalize = !flag_of(call, "options->no_renormalize", known.no_renormalize);
  options.factor = known.factor == 0 ? 1 : known.factor;
  if (known.correction_count > 0) {
    require(call, "options->correction", known.correction);
    options.correction.assign(known.correction, known.correction + known.correction_count);
  }
  options.groups = known.groups == 0 ? 1 : known.groups;
  options.top_groups = known.top_groups == 0 ? options.groups : known.top_groups;
  const bool chosen = flag_of(call, "options->chosen", known.chosen);
  (chosen ? weigh_experts : choose_experts)(logits, options, routes);
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
  return mxfp4::capi::guarded([&] {
    constexpr const char* call = "mxfp4_experts_forward";
    mxfp4::capi::require(call, "experts", experts);
    const std::int64_t hidden = experts->experts.hidden();
    const mxfp4::capi::ForwardArguments arguments = mxfp4::capi::forward_arguments(
        call, tokens, {hidden, x, x_bytes, x_dtype}, {hidden, y, y_bytes, y_dtype}, options);
    experts->experts.forward(arguments.x, mxfp4::capi::choice_of(call, choice, tokens), arguments.dtype, y,
                             arguments.options);
  });
}

mxfp4_status mxfp4_route(const void* logits, size_t logit_bytes, mxfp4_dtype dtype, int64_t tokens,
                         int64_t experts, int32_t top_k, const mxfp4_route_options* options, int32_t* ids,
                         size_t id_count, float* weights, size_t weight_count) {
  return mxfp4::capi::guarded([&] {
    constexpr const char* call = "mxfp4_route";
    const mxfp4::Dtype from = mxfp4::capi::dtype_of(call, "dtype", dtype);
    mxfp4::capi::require_bytes(call, "logits", logits, logit_bytes,
                               mxfp4::capi::dense_bytes(call, from, tokens, experts, experts));
    const std::size_t count = mxfp4::capi::count_of(call, tokens, top_k);
    mxfp4::capi::require_count(call, "ids", ids, id_count, count);
    mxfp4::capi::require_count(call, "weights", weights, weight_count, count);
    mxfp4::capi::route({static_cast<const std::byte*>(logits), from, {tokens, experts}, {experts, 1}}, top_k,
                       options, {ids, weights});
  });
}

}  // extern "C"
