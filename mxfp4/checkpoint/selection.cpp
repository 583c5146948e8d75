#include "mxfp4/checkpoint/selection.h"

#include <algorithm>
#include <cctype>
#include <vector>

#include <fmt/format.h>

#include "mxfp4/checkpoint/experts_internal.h"

namespace mxfp4 {
namespace {

// The module's path in lower case, by its dots, the innermost part first.
std::vector<std::string> parts_from_the_end(std::string_view module) {
  std::vector<std::string> parts(1);
  for (const char c : module) {
    if (c == '.') {
      parts.emplace_back();
    } else {
      parts.back() += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    }
  }
  std::reverse(parts.begin(), parts.end());
  return parts;
}

bool is_one_of(std::string_view text, std::initializer_list<std::string_view> list) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

bool has(std::string_view text, std::string_view piece) {
  return text.find(piece) != std::string_view::npos;
}

bool is_norm(const std::vector<std::string>& parts) {
  return has(parts[0], "norm") || parts[0].starts_with("ln_") || is_one_of(parts[0], {"ln", "ln1", "ln2"});
}

bool is_embedding(const std::vector<std::string>& parts) {
  const std::string& last = parts[0];
  if (is_one_of(last, {"wte", "wpe", "shared", "relative_attention_bias"})) return true;
  // Linear layers that lead to or from embeddings: embeddings_project, embedding_hidden_mapping_in.
  return has(last, "embed") && !has(last, "proj") && !has(last, "mapping") && !has(last, "linear");
}

bool is_output_head(const std::vector<std::string>& parts) {
  if (std::find(parts.begin(), parts.end(), "lm_head") != parts.end()) return true;
  if (is_one_of(parts[0], {"embed_out", "unembedding"})) return true;
  if (parts.size() == 1) return is_one_of(parts[0], {"output", "head"});
  return parts[0] == "decoder" && parts[1] == "predictions";  // BERT's
}

bool is_router(const std::vector<std::string>& parts) {
  for (std::size_t i = 0; i < std::min<std::size_t>(parts.size(), 3); ++i) {
    if (parts[i] == "router") return true;
  }
  if (parts[0] == "shared_expert_gate") return true;
  const bool gate = parts[0] == "gate" || (parts.size() > 1 && parts[1] == "gate" && parts[0] == "wg");
  // Some attention layers have a Linear gate.
  return gate && !std::any_of(parts.begin(), parts.end(), [](const std::string& part) {
           return is_one_of(part, {"att", "attn"}) || has(part, "attention") || has(part, "self_attn");
         });
}

bool is_attention(const std::vector<std::string>& parts) {
  return parts.size() > 1 && is_one_of(parts[1], {"self_attn", "attn"});
}

// GPT-2 and its relatives store Linear layers as [K, N]. Others use the same names for ordinary ones, so that
// without a model_type nothing can be said.
bool is_conv1d(const ModelConfig& config, const std::vector<std::string>& parts) {
  return is_one_of(parts[0], {"c_attn", "c_fc", "c_proj", "q_attn"}) &&
         is_one_of(config.model_type, {"", "gpt2", "openai-gpt", "imagegpt", "decision_transformer"});
}

bool is_weight(const Weight& weight) {
  return weight.name.size() != weight.module().size();
}

// What the name says it is, if that is something that stays as it is.
const char* kind_to_keep(const std::vector<std::string>& parts) {
  if (is_norm(parts)) return "norm";
  if (is_output_head(parts)) return "lm_head";
  if (is_embedding(parts)) return "embedding";
  if (is_router(parts)) return "router";
  return nullptr;
}

}  // namespace

bool is_linear(std::string_view name, std::size_t rank, bool experts) {
  if (experts) return rank == 3;
  constexpr std::string_view kWeight = ".weight";
  if (!name.ends_with(kWeight) || rank != 2) return false;
  const std::vector<std::string> parts = parts_from_the_end(name.substr(0, name.size() - kWeight.size()));
  return !is_norm(parts) && (is_output_head(parts) || !is_embedding(parts));
}

bool is_linear_weight(const Weight& weight) {
  return is_linear(weight.name, weight.shape().size(), stacked_expert_name(weight).has_value());
}

std::string default_keep_reason(const Checkpoint& checkpoint, const Weight& weight) {
  if (weight.is_quantized()) return "already quantised";
  const Shape& shape = weight.dense.shape;
  if (!is_dense_float(weight.stored->dtype)) {
    return fmt::format("{} is not F32, BF16 or F16", to_string(weight.stored->dtype));
  }
  const std::vector<std::string> parts = parts_from_the_end(weight.module());
  if (is_weight(weight)) {
    if (const char* const kind = kind_to_keep(parts)) return kind;
  }
  if (shape.size() < 2) return fmt::format("{}-D", shape.size());
  const std::optional<ExpertName> experts = stacked_expert_name(weight);
  if (parts[0].ends_with("bias")) return "bias";
  if (checkpoint.gpt_oss && !experts) return is_attention(parts) ? "attention" : "not an expert of gpt-oss";
  if (weight.orientation_unknown)
    return "stacked experts, [E, N, K] or [E, K, N]: neither names nor config tell";
  if (!experts && (!is_weight(weight) || shape.size() != 2)) {
    return shape.size() == 2 ? "not a Linear weight"
                             : fmt::format("rank {}: not a Linear weight", shape.size());
  }
  if (!experts && is_conv1d(checkpoint.config, parts)) return "Conv1D (GPT-2 style, stored transposed)";
  if (element_count(shape) == 0) return "no elements";
  if (shape.back() % kBlockSize != 0) {
    return fmt::format("K = {} is not a multiple of {}", shape.back(), kBlockSize);
  }
  return "";
}

}  // namespace mxfp4
