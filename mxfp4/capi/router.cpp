#include "mxfp4/layer/router.h"

#include "mxfp4/capi/capi_internal.h"

namespace mxfp4::capi {
namespace {

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

mxfp4_status mxfp4_route(const void* logits, size_t logit_bytes, mxfp4_dtype dtype, int64_t tokens,
                         int64_t experts, int32_t top_k, const mxfp4_route_options* options, int32_t* ids,
                         size_t id_count, float* weights, size_t weight_count) {
  using namespace mxfp4::capi;
  return guarded([&] {
    constexpr const char* call = "mxfp4_route";
    const mxfp4::Dtype from = dtype_of(call, "dtype", dtype);
    require_bytes(call, "logits", logits, logit_bytes, dense_bytes(call, from, tokens, experts, experts));
    const std::size_t count = count_of(call, tokens, top_k);
    require_count(call, "ids", ids, id_count, count);
    require_count(call, "weights", weights, weight_count, count);
    route({static_cast<const std::byte*>(logits), from, {tokens, experts}, {experts, 1}}, top_k, options,
          {ids, weights});
  });
}

}  // extern "C"
