// How a router chooses, as layers and devices understand it.
#pragma once

#include <cstdint>
#include <vector>

namespace mxfp4::kernel {

/// What logits are turned into before experts are chosen.
enum class RouterScore : std::uint8_t {
  softmax,        ///< gpt-oss, Mixtral, Qwen3-MoE
  sigmoid,        ///< DeepSeek-V3
  sqrt_softplus,  ///< DeepSeek-V4: sqrt(ln(1 + e^x))
};

/// From logits [E] to top_k experts and their weights:
///
///   score    softmax, sigmoid or sqrt(softplus) of the logits
///   biased   score + correction
///   groups   if there are several: each is worth the sum of its two largest biased scores, and only experts
///            of the best top_groups can be chosen
///   chosen   the top_k largest biased scores, in descending order, ties to the lower index
///   weight   score, divided by the sum of those chosen if renormalize, times factor
struct RouterOptions {
  int top_k = 1;
  RouterScore score = RouterScore::softmax;
  bool renormalize = true;
  float factor = 1;
  std::vector<float> correction = {};  ///< [E], for the choice alone, or empty
  int groups = 1;                      ///< of E / groups experts, two at least
  int top_groups = 1;
};

}  // namespace mxfp4::kernel
