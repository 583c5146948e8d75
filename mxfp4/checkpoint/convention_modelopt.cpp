#include <nlohmann/json.hpp>

#include "mxfp4/checkpoint/convention_internal.h"

namespace mxfp4 {
namespace {

using Json = nlohmann::ordered_json;

// The same twice: config.json for loaders, hf_quant_config.json for TensorRT-LLM.
std::map<std::string, std::string> texts(const ConfigRequest& request) {
  const Json producer = {{"name", "modelopt"}, {"version", "0.47.0"}};
  const Json config = {{"ignore", request.left_alone},
                       {"quant_algo", "mxfp4"},
                       {"producer", producer},
                       {"quant_method", "modelopt"}};
  const Json quantization = {
      {"quant_algo", "mxfp4"}, {"kv_cache_quant_algo", nullptr}, {"exclude_modules", request.left_alone}};
  std::map<std::string, std::string> texts = config_with(request, config.dump());
  texts["hf_quant_config.json"] = Json{{"producer", producer}, {"quantization", quantization}}.dump(4) + "\n";
  return texts;
}

}  // namespace

Convention modelopt_convention() noexcept {
  return {"modelopt",
          ".weight",
          ".weight_scale",
          Dtype::u8,
          Dtype::u8,
          CodeShape::bytes,
          ExpertLayout::single,
          false,
          "modelopt",
          nullptr,
          texts,
          "matrices of Linear layers, as NVIDIA's ModelOpt writes them"};
}

}  // namespace mxfp4
