// gpt-oss under the names and in the config of its original release.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace mxfp4 {

inline constexpr std::uint64_t kMostLayers = 1 << 16;

/// "block.0.mlp.gate.bias" -> "model.layers.0.mlp.router.bias"; q, k and v, which the release joins, are
/// "...self_attn.qkv_proj...". Empty for a name that the release does not have.
std::string openai_to_transformers(std::string_view name);
/// The reverse.
std::string transformers_to_openai(std::string_view name);

/// Whether a config.json is the original release's.
bool is_openai_config(const nlohmann::json& config);

/// That config in transformers' terms; any other text as it is. Fields that it lacks get the value that the
/// reference takes.
std::string transformers_config_of_openai(std::string_view text);

}  // namespace mxfp4
