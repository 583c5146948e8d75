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
  constexpr std::size_t first = offsetof(mxfp4_linear_options, in_place) + sizeof(std::int32_t);
  const mxfp4_linear_options known = known_part(call, "options", given, first);
  if (known.in_place != 0 && known.in_place != 1) {
    fail(ErrorCode::unsupported, "{}: options->in_place is {}, neither 0 nor 1", call, known.in_place);
  }
  LayerOptions options;
  options.pack = known.in_place == 0;
  options.context.threads = threads_of(call, known.threads);
  const Mxfp4View view = view_of(call, "weight", weight);
  if (bias_count > 0) require(call, "bias", bias);
  return std::make_unique<mxfp4_linear>(mxfp4_linear{Linear(view, {bias, bias_count}, options)});
}

Activation activation_of(std::string_view call, std::int32_t activation) {
  switch (activation) {
    case MXFP4_EXACT:
      return Activation::exact;
    case MXFP4_INT8:
      return Activation::int8;
    case MXFP4_MXFP8:
      return Activation::mxfp8;
  }
  fail(ErrorCode::invalid_argument, "{}: options->activation is {}, none of exact (0), int8 (1), mxfp8 (2)",
       call, activation);
}

void forward(const Linear& layer, std::int64_t tokens, const void* x, std::size_t x_bytes,
             mxfp4_dtype x_dtype, void* y, std::size_t y_bytes, mxfp4_dtype y_dtype,
             const mxfp4_forward_options* given) {
  constexpr const char* call = "mxfp4_linear_forward";
  constexpr std::size_t first = offsetof(mxfp4_forward_options, threads) + sizeof(std::int32_t);
  const mxfp4_forward_options known = known_part(call, "options", given, first);
  const ForwardOptions options{activation_of(call, known.activation), threads_of(call, known.threads)};
  if (known.x_stride < 0) {
    fail(ErrorCode::invalid_argument, "{}: options->x_stride is {}, below 0", call, known.x_stride);
  }
  const std::int64_t stride = known.x_stride == 0 ? layer.columns() : known.x_stride;
  const Dtype from = dtype_of(call, "x_dtype", x_dtype), to = dtype_of(call, "y_dtype", y_dtype);
  require_at_least(call, "x", x, x_bytes, dense_bytes(call, from, tokens, layer.columns(), stride));
  require_bytes(call, "y", y, y_bytes, dense_bytes(call, to, tokens, layer.rows(), layer.rows()));
  const DenseView view{static_cast<const std::byte*>(x), from, {tokens, layer.columns()}, {stride, 1}};
  layer.forward(view, to, y, options);
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
    mxfp4::capi::require("mxfp4_linear_forward", "layer", layer);
    mxfp4::capi::forward(layer->layer, tokens, x, x_bytes, x_dtype, y, y_bytes, y_dtype, options);
  });
}

}  // extern "C"
