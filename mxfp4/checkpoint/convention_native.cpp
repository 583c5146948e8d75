#include "mxfp4/checkpoint/convention_internal.h"

namespace mxfp4 {
Convention native_convention() noexcept {
  return {"native",
          ".weight",
          ".weight_scale",
          Dtype::f4,
          Dtype::f8_e8m0,
          CodeShape::elements,
          ExpertLayout::as_model,
          false,
          nullptr,
          nullptr,
          config_alone,
          "any weight, in torch's dtypes float4_e2m1fn_x2 and float8_e8m0fnu"};
}

}  // namespace mxfp4
