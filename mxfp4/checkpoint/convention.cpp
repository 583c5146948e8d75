#include "mxfp4/checkpoint/convention.h"

#include <algorithm>
#include <vector>

#include <nlohmann/json.hpp>

namespace mxfp4 {
namespace {

using Json = nlohmann::ordered_json;

// transformers asks its list about the modules that hold experts, and about nothing else; the rest of
// gpt-oss's list is what its makers published.
std::string gpt_oss_config(std::span<const std::string> left_alone) {
  std::vector<std::string> list = {"model.layers.*.self_attn", "model.layers.*.mlp.router",
                                   "model.embed_tokens", "lm_head"};
  for (std::string_view module : left_alone) {
    if (!module.ends_with(".experts.gate_up_proj") && !module.ends_with(".experts.down_proj")) continue;
    std::string experts(module.substr(0, module.rfind('.')));
    if (std::find(list.begin(), list.end(), experts) == list.end()) list.push_back(std::move(experts));
  }
  return Json{{"modules_to_not_convert", list}, {"quant_method", "mxfp4"}}.dump();
}

std::string compressed_tensors_config(std::span<const std::string> left_alone) {
  constexpr const char* kFormat = "mxfp4-pack-quantized";
  const Json weights = {
      {"dynamic", false},    {"group_size", 32},  {"num_bits", 4},  {"scale_dtype", "torch.uint8"},
      {"strategy", "group"}, {"symmetric", true}, {"type", "float"}};
  const Json group = {{"format", kFormat},
                      {"input_activations", nullptr},
                      {"output_activations", nullptr},
                      {"targets", {"Linear"}},
                      {"weights", weights}};
  const Json config = {{"config_groups", {{"group_0", group}}},
                       {"format", kFormat},
                       {"global_compression_ratio", nullptr},
                       {"ignore", left_alone},
                       {"kv_cache_scheme", nullptr},
                       {"moe_sparsity_config", nullptr},
                       {"quant_method", "compressed-tensors"},
                       {"quantization_status", "compressed"},
                       {"sparsity_config", Json::object()},
                       {"transform_config", Json::object()},
                       {"version", "0.20.0"}};
  return config.dump();
}

constexpr Convention kConventions[] = {
    {"gpt-oss", "_blocks", "_scales", CodeShape::blocks, true, gpt_oss_config,
     "gpt-oss as transformers and vLLM load it"},
    {"openai", ".blocks", ".scales", CodeShape::blocks, true, nullptr,
     "gpt-oss in the names of its original release"},
    {"linear", ".blocks", ".scales", CodeShape::bytes, true, nullptr, "any tensor, as mistral.rs loads it"},
    {"compressed-tensors", ".weight_packed", ".weight_scale", CodeShape::bytes, false,
     compressed_tensors_config, "matrices of Linear layers, as transformers and vLLM load them"},
};

}  // namespace

std::span<const Convention> conventions() noexcept {
  return kConventions;
}

const Convention* find_convention(std::string_view name) noexcept {
  for (const Convention& convention : kConventions) {
    if (name == convention.name) return &convention;
  }
  return nullptr;
}

}  // namespace mxfp4
