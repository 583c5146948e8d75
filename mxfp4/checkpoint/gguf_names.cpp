#include "mxfp4/checkpoint/gguf_names.h"

#include <algorithm>
#include <iterator>

namespace mxfp4 {
namespace {

constexpr LlamaCppArchitecture kArchitectures[] = {
    {"gpt-oss", "gpt_oss", "GptOssForCausalLM", "post_attention_norm", "mlp.router", false},
    {"llama", "llama", "LlamaForCausalLM", "ffn_norm", "block_sparse_moe.gate", true},
    {"qwen2", "qwen2", "Qwen2ForCausalLM", "ffn_norm", "mlp.gate", false},
    {"qwen2moe", "qwen2_moe", "Qwen2MoeForCausalLM", "ffn_norm", "mlp.gate", false},
    {"qwen3", "qwen3", "Qwen3ForCausalLM", "ffn_norm", "mlp.gate", false},
    {"qwen3moe", "qwen3_moe", "Qwen3MoeForCausalLM", "ffn_norm", "mlp.gate", false},
};

struct Name {
  std::string_view transformers, llama_cpp;
};

constexpr Name kOutside[] = {{"model.embed_tokens.weight", "token_embd.weight"},
                             {"model.norm.weight", "output_norm.weight"},
                             {"lm_head.weight", "output.weight"}};

// Modules of a layer, before ".weight" and ".bias".
constexpr Name kModules[] = {
    {"input_layernorm", "attn_norm"},
    {"self_attn.q_proj", "attn_q"},
    {"self_attn.k_proj", "attn_k"},
    {"self_attn.v_proj", "attn_v"},
    {"self_attn.o_proj", "attn_output"},
    {"self_attn.q_norm", "attn_q_norm"},
    {"self_attn.k_norm", "attn_k_norm"},
    {"mlp.gate_proj", "ffn_gate"},
    {"mlp.up_proj", "ffn_up"},
    {"mlp.down_proj", "ffn_down"},
    {"mlp.shared_expert.gate_proj", "ffn_gate_shexp"},
    {"mlp.shared_expert.up_proj", "ffn_up_shexp"},
    {"mlp.shared_expert.down_proj", "ffn_down_shexp"},
    {"mlp.shared_expert_gate", "ffn_gate_inp_shexp"},
};

// Parameters of a layer that transformers calls by other suffixes.
constexpr Name kParameters[] = {
    {"self_attn.sinks", "attn_sinks.weight"},
    {"mlp.experts.gate_proj", "ffn_gate_exps.weight"},
    {"mlp.experts.up_proj", "ffn_up_exps.weight"},
    {"mlp.experts.down_proj", "ffn_down_exps.weight"},
    {"mlp.experts.gate_proj_bias", "ffn_gate_exps.bias"},
    {"mlp.experts.up_proj_bias", "ffn_up_exps.bias"},
    {"mlp.experts.down_proj_bias", "ffn_down_exps.bias"},
};

constexpr std::string_view kLayers = "model.layers.", kBlocks = "blk.";
constexpr std::string_view kSuffixes[] = {".weight", ".bias"};

using Field = std::string_view Name::*;

template <std::size_t count>
std::string_view translated(const Name (&names)[count], std::string_view name, Field from, Field to) {
  const auto* const found =
      std::find_if(std::begin(names), std::end(names), [&](const Name& one) { return one.*from == name; });
  return found == std::end(names) ? std::string_view() : found->*to;
}

std::string module_name(const LlamaCppArchitecture& architecture, std::string_view module, Field from,
                        Field to) {
  const Name own[] = {{"post_attention_layernorm", architecture.post_norm},
                      {architecture.router, "ffn_gate_inp"}};
  std::string_view name = translated(own, module, from, to);
  if (name.empty()) name = translated(kModules, module, from, to);
  return std::string(name);
}

std::string translate(const LlamaCppArchitecture& architecture, std::string_view name, Field from, Field to) {
  if (const std::string_view known = translated(kOutside, name, from, to); !known.empty())
    return std::string(known);
  const bool to_llama_cpp = to == &Name::llama_cpp;
  const std::string_view layers = to_llama_cpp ? kLayers : kBlocks;
  if (!name.starts_with(layers)) return "";
  const std::size_t dot = name.find('.', layers.size());
  if (dot == std::string_view::npos) return "";
  const std::string_view number = name.substr(layers.size(), dot - layers.size());
  if (number.empty() || number.find_first_not_of("0123456789") != std::string_view::npos) return "";
  const std::string_view rest = name.substr(dot + 1);
  std::string found(translated(kParameters, rest, from, to));
  for (const std::string_view suffix : kSuffixes) {
    if (!found.empty() || !rest.ends_with(suffix)) continue;
    const std::string_view module = rest.substr(0, rest.size() - suffix.size());
    if (architecture.turns_heads) {
      constexpr std::string_view kTurned[] = {"attn_q", "attn_k", "self_attn.q_proj", "self_attn.k_proj"};
      if (std::find(std::begin(kTurned), std::end(kTurned), module) != std::end(kTurned)) return "";
    }
    found = module_name(architecture, module, from, to);
    if (!found.empty()) found += suffix;
  }
  if (found.empty()) return "";
  return std::string(to_llama_cpp ? kBlocks : kLayers).append(number).append(".").append(found);
}

}  // namespace

const LlamaCppArchitecture* find_llama_cpp_architecture(std::string_view name) noexcept {
  for (const LlamaCppArchitecture& one : kArchitectures) {
    if (name == one.name) return &one;
  }
  return nullptr;
}

const LlamaCppArchitecture* llama_cpp_architecture_of(std::string_view model_type) noexcept {
  for (const LlamaCppArchitecture& one : kArchitectures) {
    if (model_type == one.model_type) return &one;
  }
  return nullptr;
}

std::string from_llama_cpp_name(const LlamaCppArchitecture& architecture, std::string_view tensor) {
  return translate(architecture, tensor, &Name::llama_cpp, &Name::transformers);
}

std::string to_llama_cpp_name(const LlamaCppArchitecture& architecture, std::string_view weight) {
  return translate(architecture, weight, &Name::transformers, &Name::llama_cpp);
}

}  // namespace mxfp4
