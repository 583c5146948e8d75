// What config.json says about how a mixture of experts computes.
#pragma once

#include <cstdint>
#include <limits>
#include <string_view>

namespace mxfp4 {

/// Everything but the weights. What a family leaves to its code is filled in.
struct MoeConfig {
  enum class Score : std::uint8_t { softmax, sigmoid, sqrt_softplus };

  int top_k = 0;
  Score score = Score::softmax;
  bool renormalize = true;
  float factor = 1;
  int groups = 1, top_groups = 1;
  bool shared = false;  ///< whether there are experts beside those that are chosen
  // The gated unit: min(gate, limit), up within the limit, gate * sigmoid(alpha * gate) * (up + beta).
  float alpha = 1, beta = 0;
  float limit = std::numeric_limits<float>::infinity();
};

/// For gpt-oss (of which the original release does not name its type: `gpt_oss` says so), Mixtral, Qwen3-MoE,
/// Qwen2-MoE, DeepSeek-V3 and -V4. `where` begins every message. Throws Error unsupported for another
/// model_type or activation, corrupt_file for a field of the wrong type or without a usable top_k.
MoeConfig parse_moe_config(std::string_view text, std::string_view where, bool gpt_oss);

}  // namespace mxfp4
