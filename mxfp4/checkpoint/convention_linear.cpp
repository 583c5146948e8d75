#include "mxfp4/checkpoint/convention_internal.h"

namespace mxfp4 {

Convention linear_convention() noexcept {
  return {"linear",
          ".blocks",
          ".scales",
          Dtype::u8,
          Dtype::u8,
          CodeShape::bytes,
          ExpertLayout::as_model,
          false,
          nullptr,
          nullptr,
          config_alone,
          "any tensor, as mistral.rs loads it"};
}

}  // namespace mxfp4
