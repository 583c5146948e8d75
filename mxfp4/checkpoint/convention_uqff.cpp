#include "mxfp4/checkpoint/convention_internal.h"
#include "mxfp4/container/uqff.h"

namespace mxfp4 {
namespace {

std::map<std::string, std::string> texts(const ConfigRequest& request) {
  return config_with(request, "");
}

}  // namespace

Convention uqff_convention() noexcept {
  return {"uqff",
          uqff::kWeight,
          uqff::kScales,
          Dtype::u8,
          Dtype::u8,
          CodeShape::bytes,
          ExpertLayout::as_model,
          false,
          nullptr,
          nullptr,
          texts,
          "UQFF, as mistral.rs loads it",
          true};
}

}  // namespace mxfp4
