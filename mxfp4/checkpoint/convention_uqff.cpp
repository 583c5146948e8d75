#include "mxfp4/checkpoint/convention_internal.h"
#include "mxfp4/container/uqff.h"

namespace mxfp4 {

Convention uqff_convention() noexcept {
  return {"uqff",    uqff::kWeight,    uqff::kScales,          Dtype::u8,
          Dtype::u8, CodeShape::bytes, ExpertLayout::as_model, false,
          nullptr,   nullptr,          config_alone,           "UQFF, as mistral.rs loads it",
          true};
}

}  // namespace mxfp4
