#include <nlohmann/json.hpp>

#include "mxfp4/checkpoint/convention_internal.h"
#include "mxfp4/checkpoint/json_internal.h"
#include "mxfp4/checkpoint/openai_internal.h"

namespace mxfp4 {
namespace {

using Json = nlohmann::ordered_json;

// Names of a layer, or of the model where `layer` is false: ours and transformers'.
struct Names {
  std::string_view openai, transformers;
  bool layer = true;
};
constexpr Names kNames[] = {
    {"embedding.weight", "model.embed_tokens.weight", false},
    {"norm.scale", "model.norm.weight", false},
    {"unembedding.weight", "lm_head.weight", false},
    {"attn.norm.scale", "input_layernorm.weight"},
    {"attn.qkv.weight", "self_attn.qkv_proj.weight"},
    {"attn.qkv.bias", "self_attn.qkv_proj.bias"},
    {"attn.out.weight", "self_attn.o_proj.weight"},
    {"attn.out.bias", "self_attn.o_proj.bias"},
    {"attn.sinks", "self_attn.sinks"},
    {"mlp.norm.scale", "post_attention_layernorm.weight"},
    {"mlp.gate.weight", "mlp.router.weight"},
    {"mlp.gate.bias", "mlp.router.bias"},
    {"mlp.mlp1_weight", "mlp.experts.gate_up_proj"},
    {"mlp.mlp1_bias", "mlp.experts.gate_up_proj_bias"},
    {"mlp.mlp2_weight", "mlp.experts.down_proj"},
    {"mlp.mlp2_bias", "mlp.experts.down_proj_bias"},
};
constexpr std::string_view kOpenaiLayers = "block.", kLayers = "model.layers.";

// "block.3." + "attn.sinks" -> "model.layers.3." + "self_attn.sinks", or the reverse.
std::string translated(std::string_view name, std::string_view from_layers, std::string_view to_layers,
                       std::string_view Names::*from, std::string_view Names::*to) {
  std::string prefix;
  std::string_view rest = name;
  if (name.starts_with(from_layers)) {
    const std::size_t dot = name.find('.', from_layers.size());
    if (dot == std::string_view::npos) return "";
    const std::string_view number = name.substr(from_layers.size(), dot - from_layers.size());
    if (number.find_first_not_of("0123456789") != std::string_view::npos) return "";
    prefix = std::string(to_layers) + std::string(number) + ".";
    rest = name.substr(dot + 1);
  }
  for (const Names& names : kNames) {
    if (names.*from == rest && names.layer == !prefix.empty()) return prefix + std::string(names.*to);
  }
  return "";
}

// The first of the names that an object has; null if it has none.
Json first_of(const nlohmann::json& object, std::initializer_list<const char*> names) {
  for (const char* const name : names) {
    const auto found = object.find(name);
    if (found != object.end() && !found->is_null()) return *found;
  }
  return nullptr;
}

std::map<std::string, std::string> texts(const ConfigRequest& request) {
  if (request.config.empty()) return {};
  const nlohmann::json config = parse_json(request.config, "config.json");
  if (is_openai_config(config)) return {{"config.json", std::string(request.config)}};
  nlohmann::json rope = nlohmann::json::object();
  for (const char* const name : {"rope_scaling", "rope_parameters"}) {
    const auto found = config.find(name);
    if (found != config.end() && found->is_object()) rope.update(*found);
  }
  Json result;
  const auto copy = [&](const char* name, Json value) {
    if (!value.is_null()) result[name] = std::move(value);
  };
  copy("num_hidden_layers", first_of(config, {"num_hidden_layers"}));
  copy("num_experts", first_of(config, {"num_local_experts"}));
  copy("experts_per_token", first_of(config, {"experts_per_token", "num_experts_per_tok"}));
  for (const char* const same : {"vocab_size", "hidden_size", "intermediate_size", "swiglu_limit", "head_dim",
                                 "num_attention_heads", "num_key_value_heads", "sliding_window"}) {
    copy(same, first_of(config, {same}));
  }
  Json context = first_of(config, {"initial_context_length"});
  copy("initial_context_length",
       context.is_null() ? first_of(rope, {"original_max_position_embeddings"}) : context);
  Json theta = first_of(config, {"rope_theta"});
  copy("rope_theta", theta.is_null() ? first_of(rope, {"rope_theta"}) : theta);
  copy("rope_scaling_factor", first_of(rope, {"factor"}));
  copy("rope_ntk_alpha", first_of(rope, {"beta_slow"}));
  copy("rope_ntk_beta", first_of(rope, {"beta_fast"}));
  return {{"config.json", result.dump(2) + "\n"}};
}

}  // namespace

std::string openai_to_transformers(std::string_view name) {
  return translated(name, kOpenaiLayers, kLayers, &Names::openai, &Names::transformers);
}

std::string transformers_to_openai(std::string_view name) {
  return translated(name, kLayers, kOpenaiLayers, &Names::transformers, &Names::openai);
}

bool is_openai_config(const nlohmann::json& config) {
  return config.is_object() && !config.contains("model_type") && !config.contains("architectures") &&
         config.contains("num_experts") && config.contains("experts_per_token");
}

std::string transformers_config_of_openai(std::string_view text) {
  const nlohmann::json config = parse_json(text, "config.json");
  if (!is_openai_config(config)) return std::string(text);
  const auto field = [&](const char* name, Json otherwise) {
    Json value = first_of(config, {name});
    return value.is_null() ? otherwise : value;
  };
  const Json layers = field("num_hidden_layers", 0), context = field("initial_context_length", 4096);
  const Json factor = field("rope_scaling_factor", 32.0), active = field("experts_per_token", 4);
  Json result = {{"architectures", {"GptOssForCausalLM"}},
                 {"attention_bias", true},
                 {"attention_dropout", 0.0},
                 {"experts_per_token", active},
                 {"head_dim", field("head_dim", 64)},
                 {"hidden_act", "silu"},
                 {"hidden_size", field("hidden_size", nullptr)},
                 {"initial_context_length", context},
                 {"intermediate_size", field("intermediate_size", nullptr)},
                 {"model_type", "gpt_oss"},
                 {"num_attention_heads", field("num_attention_heads", nullptr)},
                 {"num_experts_per_tok", active},
                 {"num_hidden_layers", layers},
                 {"num_key_value_heads", field("num_key_value_heads", nullptr)},
                 {"num_local_experts", field("num_experts", nullptr)},
                 {"rms_norm_eps", 1e-05},
                 {"rope_scaling",
                  {{"beta_fast", field("rope_ntk_beta", 32.0)},
                   {"beta_slow", field("rope_ntk_alpha", 1.0)},
                   {"factor", factor},
                   {"original_max_position_embeddings", context},
                   {"rope_type", "yarn"},
                   {"truncate", false}}},
                 {"rope_theta", field("rope_theta", 150000)},
                 {"sliding_window", field("sliding_window", 128)},
                 {"swiglu_limit", field("swiglu_limit", 7.0)},
                 {"tie_word_embeddings", false},
                 {"vocab_size", field("vocab_size", nullptr)}};
  if (layers.is_number_unsigned() && layers <= kMostLayers) {
    Json types = Json::array();  // the reference slides in every layer of an even number
    for (std::uint64_t layer = 0; layer < layers.get<std::uint64_t>(); ++layer)
      types.push_back(layer % 2 == 0 ? "sliding_attention" : "full_attention");
    result["layer_types"] = std::move(types);
  }
  if (context.is_number() && factor.is_number()) {
    const double positions = context.get<double>() * factor.get<double>();
    if (positions >= 1 && positions < 0x1p53)
      result["max_position_embeddings"] = static_cast<std::int64_t>(positions);
  }
  return result.dump(2) + "\n";
}

Convention openai_convention() noexcept {
  return {"openai",
          ".blocks",
          ".scales",
          Dtype::u8,
          Dtype::u8,
          CodeShape::blocks,
          ExpertLayout::joined,
          true,
          nullptr,
          nullptr,
          texts,
          "gpt-oss in the names of its original release"};
}

}  // namespace mxfp4
