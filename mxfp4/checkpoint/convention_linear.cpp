#include "mxfp4/checkpoint/convention_internal.h"

namespace mxfp4 {
namespace {

std::map<std::string, std::string> texts(const ConfigRequest& request) {
  return config_with(request, "");
}

}  // namespace

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
          texts,
          "any tensor, as mistral.rs loads it"};
}

}  // namespace mxfp4
