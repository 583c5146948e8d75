#include "mxfp4/layer/mlp.h"

#include "mxfp4/capi/checkpoint_internal.h"
#include "mxfp4/job/load_mlp.h"

struct mxfp4_mlp {
  std::shared_ptr<const mxfp4::Checkpoint> files;  // ends last
  mxfp4::Mlp mlp;
};

namespace mxfp4::capi {
namespace {

std::unique_ptr<mxfp4_mlp> load(const mxfp4_checkpoint* checkpoint, std::int64_t layer,
                                const mxfp4_linear_options* given) {
  constexpr const char* call = "mxfp4_mlp_load";
  require(call, "checkpoint", checkpoint);
  const LayerOptions options = layer_options_of(call, given);
  return std::make_unique<mxfp4_mlp>(
      mxfp4_mlp{kept_by(options, *checkpoint), job::load_mlp(*checkpoint->files, layer, options)});
}

}  // namespace
}  // namespace mxfp4::capi

extern "C" {

mxfp4_status mxfp4_mlp_load(const mxfp4_checkpoint* checkpoint, int64_t layer,
                            const mxfp4_linear_options* options, mxfp4_mlp** mlp) {
  return mxfp4::capi::guarded([&] {
    mxfp4::capi::require("mxfp4_mlp_load", "mlp", mlp);
    *mlp = nullptr;
    *mlp = mxfp4::capi::load(checkpoint, layer, options).release();
  });
}

void mxfp4_mlp_destroy(mxfp4_mlp* mlp) {
  delete mlp;
}

int64_t mxfp4_mlp_experts(const mxfp4_mlp* mlp) {
  return mlp == nullptr ? 0 : mlp->mlp.experts().count();
}

int64_t mxfp4_mlp_hidden(const mxfp4_mlp* mlp) {
  return mlp == nullptr ? 0 : mlp->mlp.experts().hidden();
}

size_t mxfp4_mlp_memory(const mxfp4_mlp* mlp) {
  return mlp == nullptr ? 0 : mlp->mlp.memory();
}

int32_t mxfp4_mlp_needs_token_ids(const mxfp4_mlp* mlp) {
  return mlp != nullptr && mlp->mlp.needs_token_ids();
}

mxfp4_status mxfp4_mlp_forward(const mxfp4_mlp* mlp, int64_t tokens, const int32_t* token_ids,
                               size_t token_id_count, const void* x, size_t x_bytes, mxfp4_dtype x_dtype,
                               void* y, size_t y_bytes, mxfp4_dtype y_dtype,
                               const mxfp4_forward_options* options) {
  using namespace mxfp4::capi;
  return guarded([&] {
    constexpr const char* call = "mxfp4_mlp_forward";
    require(call, "mlp", mlp);
    const std::int64_t hidden = mlp->mlp.experts().hidden();
    const ForwardArguments arguments = forward_arguments(call, {tokens, hidden, x, x_bytes, x_dtype},
                                                         {tokens, hidden, y, y_bytes, y_dtype}, options);
    if (token_id_count > 0) require(call, "token_ids", token_ids);
    mlp->mlp.forward(arguments.x, arguments.dtype, y, arguments.options, {token_ids, token_id_count});
  });
}

}  // extern "C"
