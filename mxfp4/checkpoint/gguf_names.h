// llama.cpp's architectures, and what it calls a model's weights.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace mxfp4 {

/// An architecture of llama.cpp whose weights are known by their meaning.
struct LlamaCppArchitecture {
  const char* name;        ///< "gpt-oss", general.architecture
  const char* model_type;  ///< "gpt_oss", of config.json
  const char* class_name;  ///< "GptOssForCausalLM"
  const char* post_norm;   ///< what stands for post_attention_layernorm
  const char* router;      ///< the module whose place ffn_gate_inp takes
  bool turns_heads;        ///< the rows of Q and K stand in another order than in transformers
};

/// The architecture of that name in GGUF, or of that model_type in config.json; null if it is unknown.
const LlamaCppArchitecture* find_llama_cpp_architecture(std::string_view name) noexcept;
const LlamaCppArchitecture* llama_cpp_architecture_of(std::string_view model_type) noexcept;

/// What transformers calls a tensor: "blk.0.ffn_gate_exps.weight" is "model.layers.0.mlp.experts.gate_proj".
/// Empty for what it has no name for, and for Q and K where their rows are turned.
std::string from_llama_cpp_name(const LlamaCppArchitecture& architecture, std::string_view tensor);

/// The reverse.
std::string to_llama_cpp_name(const LlamaCppArchitecture& architecture, std::string_view weight);

}  // namespace mxfp4
