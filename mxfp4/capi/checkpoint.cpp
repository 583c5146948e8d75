#include "mxfp4/capi/checkpoint_internal.h"

extern "C" {

mxfp4_status mxfp4_checkpoint_open(const char* path, mxfp4_checkpoint** checkpoint) {
  return mxfp4::capi::guarded([&] {
    constexpr const char* call = "mxfp4_checkpoint_open";
    mxfp4::capi::require(call, "checkpoint", checkpoint);
    *checkpoint = nullptr;
    mxfp4::capi::require(call, "path", path);
    *checkpoint =
        new mxfp4_checkpoint{std::make_shared<const mxfp4::Checkpoint>(mxfp4::open_checkpoint(path))};
  });
}

void mxfp4_checkpoint_close(mxfp4_checkpoint* checkpoint) {
  delete checkpoint;
}

}  // extern "C"
