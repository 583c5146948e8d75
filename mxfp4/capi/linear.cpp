#include "mxfp4/layer/linear.h"

#include <memory>

#include "mxfp4/capi/checkpoint_internal.h"
#include "mxfp4/job/load_linear.h"

struct mxfp4_linear {
  std::shared_ptr<const mxfp4::Checkpoint> files;  // ends last; null where the weight is the caller's
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
  return std::make_unique<mxfp4_linear>(mxfp4_linear{{}, Linear(view, {bias, bias_count}, options)});
}

std::unique_ptr<mxfp4_linear> load(const mxfp4_checkpoint* checkpoint, const char* name,
                                   const mxfp4_linear_options* given) {
  constexpr const char* call = "mxfp4_linear_load";
  require(call, "checkpoint", checkpoint);
  require(call, "name", name);
  const LayerOptions options = layer_options_of(call, given);
  return std::make_unique<mxfp4_linear>(
      mxfp4_linear{kept_by(options, *checkpoint), job::load_linear(*checkpoint->files, name, options)});
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

mxfp4_status mxfp4_linear_load(const mxfp4_checkpoint* checkpoint, const char* name,
                               const mxfp4_linear_options* options, mxfp4_linear** layer) {
  return mxfp4::capi::guarded([&] {
    mxfp4::capi::require("mxfp4_linear_load", "layer", layer);
    *layer = nullptr;
    *layer = mxfp4::capi::load(checkpoint, name, options).release();
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
  using namespace mxfp4::capi;
  return guarded([&] {
    constexpr const char* call = "mxfp4_linear_forward";
    require(call, "layer", layer);
    const mxfp4::Linear& linear = layer->layer;
    const ForwardArguments arguments =
        forward_arguments(call, {tokens, linear.columns(), x, x_bytes, x_dtype},
                          {tokens, linear.rows(), y, y_bytes, y_dtype}, options);
    linear.forward(arguments.x, arguments.dtype, y, arguments.options);
  });
}

}  // extern "C"
