#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mxfp4/job/synth_model_internal.h"

namespace mxfp4::job {
namespace {

constexpr GptOssSize kSizes[] = {
    {"gpt-oss-20b", 24, 2880, 2880, 32, 201088, 64, 8, 64, 128},
    {"gpt-oss-120b", 36, 2880, 2880, 128, 201088, 64, 8, 64, 128},
    {"tiny", 3, 64, 96, 6, 512, 4, 2, 16, 8},
};

constexpr std::int64_t kActiveExperts = 4;

}  // namespace

std::span<const GptOssSize> gpt_oss_sizes() noexcept {
  return kSizes;
}

std::vector<Parameter> gpt_oss_parameters(const GptOssSize& size) {
  using Kind = Parameter::Kind;
  const std::int64_t hidden = size.hidden, inner = size.intermediate, experts = size.experts;
  const std::int64_t q = size.heads * size.head_dim, kv = size.kv_heads * size.head_dim;
  std::vector<Parameter> parameters = {{"model.embed_tokens.weight", {size.vocabulary, hidden}}};
  for (std::int64_t layer = 0; layer < size.layers; ++layer) {
    const std::vector<Parameter> block = {
        {"input_layernorm.weight", {hidden}, Kind::norm},
        {"mlp.experts.down_proj", {experts, hidden, inner}, Kind::experts},
        {"mlp.experts.down_proj_bias", {experts, hidden}},
        {"mlp.experts.gate_up_proj", {experts, 2 * inner, hidden}, Kind::experts},
        {"mlp.experts.gate_up_proj_bias", {experts, 2 * inner}},
        {"mlp.router.bias", {experts}},
        {"mlp.router.weight", {experts, hidden}},
        {"post_attention_layernorm.weight", {hidden}, Kind::norm},
        {"self_attn.k_proj.bias", {kv}},
        {"self_attn.k_proj.weight", {kv, hidden}},
        {"self_attn.o_proj.bias", {hidden}},
        {"self_attn.o_proj.weight", {hidden, q}},
        {"self_attn.q_proj.bias", {q}},
        {"self_attn.q_proj.weight", {q, hidden}},
        {"self_attn.sinks", {size.heads}},
        {"self_attn.v_proj.bias", {kv}},
        {"self_attn.v_proj.weight", {kv, hidden}},
    };
    for (const Parameter& parameter : block) {
      parameters.push_back(parameter);
      parameters.back().name = fmt::format("model.layers.{}.{}", layer, parameter.name);
    }
  }
  parameters.push_back({"model.norm.weight", {hidden}, Kind::norm});
  parameters.push_back({"lm_head.weight", {size.vocabulary, hidden}});
  return parameters;
}

std::string gpt_oss_config(const GptOssSize& size) {
  const std::int64_t active = std::min(kActiveExperts, size.experts);
  const TokenIds ids = token_ids();
  std::vector<std::string> layer_types;
  for (std::int64_t layer = 0; layer < size.layers; ++layer) {
    layer_types.push_back(layer % 2 == 0 ? "sliding_attention" : "full_attention");
  }
  const nlohmann::ordered_json config = {
      {"architectures", {"GptOssForCausalLM"}},
      {"attention_bias", true},
      {"attention_dropout", 0.0},
      {"bos_token_id", ids.bos},
      {"dtype", "bfloat16"},
      {"eos_token_id", ids.eos},
      {"experts_per_token", active},
      {"head_dim", size.head_dim},
      {"hidden_act", "silu"},
      {"hidden_size", size.hidden},
      {"initial_context_length", 4096},
      {"initializer_range", 0.02},
      {"intermediate_size", size.intermediate},
      {"layer_types", layer_types},
      {"max_position_embeddings", 131072},
      {"model_type", "gpt_oss"},
      {"num_attention_heads", size.heads},
      {"num_experts_per_tok", active},
      {"num_hidden_layers", size.layers},
      {"num_key_value_heads", size.kv_heads},
      {"num_local_experts", size.experts},
      {"output_router_logits", false},
      {"pad_token_id", ids.pad},
      {"rms_norm_eps", 1e-5},
      {"rope_scaling",
       {{"beta_fast", 32.0},
        {"beta_slow", 1.0},
        {"factor", 32.0},
        {"original_max_position_embeddings", 4096},
        {"rope_type", "yarn"},
        {"truncate", false}}},
      {"rope_theta", 150000},
      {"router_aux_loss_coef", 0.9},
      {"sliding_window", size.sliding_window},
      {"swiglu_limit", 7.0},
      {"tie_word_embeddings", false},
      {"use_cache", true},
      {"vocab_size", size.vocabulary},
  };
  return config.dump(2) + "\n";
}

}  // namespace mxfp4::job
