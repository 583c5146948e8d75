#include "mxfp4/layer/linear.h"

#include <memory>

#include "mxfp4/capi/capi_internal.h"

struct mxfp4_linear {
  mxfp4::Linear layer;
};

namespace mxfp4::capi {
namespace {

std::unique_ptr<mxfp4_linear> create(const mxfp4_matrix* weight, const float* bias, std::size_t bias_count,
                                     const mxfp4_linear_options* given) {
  constexpr const char* call = "mxfp4_linear_create";
  const LayerOptions options = layer_options_of(call, given);
  const Mxfp4View view = view_of(call, "weight", weight);
  if (bias_count > 0) require(call, "bias", bias);
  return std::make_unique<mxfp4_linear>(mxfp4_linear{Linear(view, {bias, bias_count}, options)});
}

}  // namespace
}  // namespace mxfp4::capi

extern "C" {

mxfp4_status mxfp4_linear_create(const mxfp4_matrix* weight, const float* bias, size_t bias_count,
                                 const mxfp4_linear_options* options, mxfp4_linear** layer) {
  return mxfp4::capi::guarded([&] {
    mxfp4::capi::require("mxfp4_linear_create", "layer", layer);
    *layer = nullptr;
    *layer = mxfp4::capi::create(weight, bias, bias_count, options).release();
  });
}

void mxfp4_linear_destroy(mxfp4_linear* layer) {
  delete layer;
}

int64_t mxfp4_linear_rows(const mxfp4_linear* layer) {
  return layer == nullptr ? 0 : layer->layer.rows();
}

int64_t mxfp4_linear_columns(const mxfp4_linear* layer) {
  return layer == nullptr ? 0 : layer->layer.columns();
}

size_t mxfp4_linear_memory(const mxfp4_linear* layer) {
  return layer == nullptr ? 0 : layer->layer.memory();
}

mxfp4_status mxfp4_linear_forward(const mxfp4_linear* layer, int64_t tokens, const void* x, size_t x_bytes,
                                  mxfp4_dtype x_dtype, void* y, size_t y_bytes, mxfp4_dtype y_dtype,
                                  const mxfp4_forward_options* options) {
  return mxfp4::capi::guarded([&] {
    constexpr const char* call = "mxfp4_linear_forward";
    mxfp4::capi::require(call, "layer", layer);
    const mxfp4::Linear& linear = layer->layer;
    const mxfp4::capi::ForwardArguments arguments = mxfp4::capi::forward_arguments(
        call, tokens, {linear.columns(), x, x_bytes, x_dtype}, {linear.rows(), y, y_bytes, y_dtype}, options);
    linear.forward(arguments.x, arguments.dtype, y, arguments.options);
  });
}

}  // extern "C"
