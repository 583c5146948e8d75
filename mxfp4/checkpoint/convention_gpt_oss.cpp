#include <algorithm>
#include <vector>

#include <nlohmann/json.hpp>

#include "mxfp4/checkpoint/convention_internal.h"

namespace mxfp4 {
namespace {

using Json = nlohmann::ordered_json;

// transformers asks its list about the modules that hold experts, and about nothing else; the rest of
// gpt-oss's list is what its makers published.
std::map<std::string, std::string> texts(const ConfigRequest& request) {
  std::vector<std::string> list = {"model.layers.*.self_attn", "model.layers.*.mlp.router",
                                   "model.embed_tokens", "lm_head"};
  for (std::string_view module : request.left_alone) {
    if (!module.ends_with(".experts.gate_up_proj") && !module.ends_with(".experts.down_proj")) continue;
    std::string experts(module.substr(0, module.rfind('.')));
    if (std::find(list.begin(), list.end(), experts) == list.end()) list.push_back(std::move(experts));
  }
  return config_with(request, Json{{"modules_to_not_convert", list}, {"quant_method", "mxfp4"}}.dump());
}

}  // namespace

Convention gpt_oss_convention() noexcept {
  return {"gpt-oss",
          "_blocks",
          "_scales",
          Dtype::u8,
          Dtype::u8,
          CodeShape::blocks,
          ExpertLayout::joined,
          true,
          "mxfp4",
          nullptr,
          texts,
          "gpt-oss as transformers and vLLM load it"};
}

}  // namespace mxfp4
