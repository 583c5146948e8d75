// A model as C holds it.
#pragma once

#include <memory>

#include "mxfp4/capi/capi_internal.h"
#include "mxfp4/checkpoint/checkpoint.h"

struct mxfp4_checkpoint {
  std::shared_ptr<const mxfp4::Checkpoint> files;
};

namespace mxfp4::capi {

/// What a layer must keep: the files, if it uses their weights in place.
inline std::shared_ptr<const Checkpoint> kept_by(const LayerOptions& options,
                                                 const mxfp4_checkpoint& checkpoint) {
  return options.pack ? nullptr : checkpoint.files;
}

}  // namespace mxfp4::capi
