#include "mxfp4/layer/expert_linear.h"

#include <memory>

#include "mxfp4/capi/capi_internal.h"

struct mxfp4_expert_linear {
  mxfp4::ExpertLinear layer;
};

namespace mxfp4::capi {
namespace {

std::unique_ptr<mxfp4_expert_linear> create(const Projection& weight, std::int64_t experts,
                                            const mxfp4_linear_options* given) {
  constexpr const char* call = "mxfp4_expert_linear_create";
  const LayerOptions options = layer_options_of(call, given);
  return std::make_unique<mxfp4_expert_linear>(
      mxfp4_expert_linear{ExpertLinear(matrices_of(call, weight, experts), options)});
}

/// [tokens, K] stays, and [tokens * top_k, K] becomes [tokens, top_k, K].
void put_in_slots(std::string_view call, DenseView& x, std::int64_t tokens, std::int64_t top_k) {
  const std::int64_t rows = x.shape[0], columns = x.shape[1], stride = x.strides[0];
  if (rows == tokens) return;
  if (rows != tokens * top_k) {
    fail(ErrorCode::invalid_argument, "{}: x has {} rows, neither {}, one for each token, nor {} times that",
         call, rows, tokens, top_k);
  }
  x.shape = {tokens, top_k, columns};
  x.strides = {top_k * stride, stride, 1};
}

}  // namespace
}  // namespace mxfp4::capi

extern "C" {

mxfp4_status mxfp4_expert_linear_create(const mxfp4_matrix* weight, int64_t experts, const float* bias,
                                        size_t bias_count, const mxfp4_linear_options* options,
                                        mxfp4_expert_linear** layer) {
  return mxfp4::capi::guarded([&] {
    mxfp4::capi::require("mxfp4_expert_linear_create", "layer", layer);
    *layer = nullptr;
    *layer = mxfp4::capi::create({"weight", weight, "bias", bias, bias_count}, experts, options).release();
  });
}

void mxfp4_expert_linear_destroy(mxfp4_expert_linear* layer) {
  delete layer;
}

int64_t mxfp4_expert_linear_count(const mxfp4_expert_linear* layer) {
  return layer == nullptr ? 0 : layer->layer.count();
}

int64_t mxfp4_expert_linear_rows(const mxfp4_expert_linear* layer) {
  return layer == nullptr ? 0 : layer->layer.rows();
}

int64_t mxfp4_expert_linear_columns(const mxfp4_expert_linear* layer) {
  return layer == nullptr ? 0 : layer->layer.columns();
}

size_t mxfp4_expert_linear_memory(const mxfp4_expert_linear* layer) {
  return layer == nullptr ? 0 : layer->layer.memory();
}

mxfp4_status mxfp4_expert_linear_gather(const mxfp4_expert_linear* layer, int64_t tokens, int32_t top_k,
                                        const int32_t* ids, size_t id_count, int64_t x_rows, const void* x,
                                        size_t x_bytes, mxfp4_dtype x_dtype, void* y, size_t y_bytes,
                                        mxfp4_dtype y_dtype, const mxfp4_forward_options* options) {
  using namespace mxfp4::capi;
  return guarded([&] {
    constexpr const char* call = "mxfp4_expert_linear_gather";
    require(call, "layer", layer);
    const mxfp4::ExpertLinear& linear = layer->layer;
    const std::size_t slots = count_of(call, tokens, top_k);
    require_count(call, "ids", ids, id_count, slots);
    ForwardArguments arguments =
        forward_arguments(call, {x_rows, linear.columns(), x, x_bytes, x_dtype},
                          {static_cast<std::int64_t>(slots), linear.rows(), y, y_bytes, y_dtype}, options);
    put_in_slots(call, arguments.x, tokens, top_k);
    linear.gather(arguments.x, ids, top_k, arguments.dtype, y, arguments.options);
  });
}

}  // extern "C"
