#include <nlohmann/json.hpp>

#include "mxfp4/checkpoint/convention_internal.h"

namespace mxfp4 {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kFormat = "mxfp4-pack-quantized";

std::map<std::string, std::string> texts(const ConfigRequest& request) {
  const Json weights = {
      {"dynamic", false},    {"group_size", 32},  {"num_bits", 4},  {"scale_dtype", "torch.uint8"},
      {"strategy", "group"}, {"symmetric", true}, {"type", "float"}};
  return compressed_tensors_texts(request, kFormat, weights.dump());
}

}  // namespace

std::map<std::string, std::string> compressed_tensors_texts(const ConfigRequest& request, const char* format,
                                                            std::string_view weights) {
  const Json group = {{"format", format},
                      {"input_activations", nullptr},
                      {"output_activations", nullptr},
                      {"targets", {"Linear"}},
                      {"weights", Json::parse(weights)}};
  const Json config = {{"config_groups", {{"group_0", group}}},
                       {"format", format},
                       {"global_compression_ratio", nullptr},
                       {"ignore", request.left_alone},
                       {"kv_cache_scheme", nullptr},
                       {"moe_sparsity_config", nullptr},
                       {"quant_method", "compressed-tensors"},
                       {"quantization_status", "compressed"},
                       {"sparsity_config", Json::object()},
                       {"transform_config", Json::object()},
                       {"version", "0.20.0"}};
  return config_with(request, config.dump());
}

Convention compressed_tensors_convention() noexcept {
  return {"compressed-tensors",
          ".weight_packed",
          ".weight_scale",
          Dtype::u8,
          Dtype::u8,
          CodeShape::bytes,
          ExpertLayout::single,
          false,
          "compressed-tensors",
          kFormat,
          texts,
          "matrices of Linear layers, as transformers and vLLM load them"};
}

}  // namespace mxfp4
