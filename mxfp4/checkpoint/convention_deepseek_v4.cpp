#include "mxfp4/checkpoint/config.h"
#include "mxfp4/checkpoint/convention_internal.h"

namespace mxfp4 {
namespace {

std::map<std::string, std::string> texts(const ConfigRequest& request) {
  return {{"config.json", with_member(with_quantization(request.config, ""), "expert_dtype", "\"fp4\"")}};
}

}  // namespace

Convention deepseek_v4_convention() noexcept {
  return {"deepseek-v4",
          ".weight",
          ".scale",
          Dtype::i8,
          Dtype::f8_e8m0,
          CodeShape::bytes,
          ExpertLayout::single,
          true,
          nullptr,
          nullptr,
          texts,
          "DeepSeek-V4 in the names of its release"};
}

}  // namespace mxfp4
