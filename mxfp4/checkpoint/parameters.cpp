#include <algorithm>
#include <optional>
#include <set>

#include "mxfp4/checkpoint/expectations_internal.h"
#include "mxfp4/checkpoint/report_internal.h"

namespace mxfp4 {
namespace {

// A weight that models of one family have, with its sizes: H hidden, I intermediate, E experts, V vocabulary,
// ? anything. Without sizes only its presence is checked (of experts check_expert_sizes knows more).
struct Parameter {
  const char* name;  // behind the layer's path if in_layer
  const char* sizes;
  bool in_layer = true;
  bool gpt_oss_only = false;
};

constexpr const char* kLayers = "model.layers.";
constexpr Parameter kParameters[] = {
    {"model.embed_tokens.weight", "VH", false},
    {"model.norm.weight", "H", false},
    {"lm_head.weight", "VH", false},
    {"input_layernorm.weight", "H"},
    {"mlp.experts.down_proj", "", true, true},
    {"mlp.experts.down_proj_bias", "", true, true},
    {"mlp.experts.gate_up_proj", "", true, true},
    {"mlp.experts.gate_up_proj_bias", "", true, true},
    {"mlp.router.bias", "E", true, true},
    {"mlp.router.weight", "EH", true, true},
    {"post_attention_layernorm.weight", "H"},
    {"self_attn.k_proj.bias", "?"},
    {"self_attn.k_proj.weight", "?H"},
    {"self_attn.o_proj.bias", "H"},
    {"self_attn.o_proj.weight", "H?"},
    {"self_attn.q_proj.bias", "?"},
    {"self_attn.q_proj.weight", "?H"},
    {"self_attn.sinks", "?", true, true},
    {"self_attn.v_proj.bias", "?"},
    {"self_attn.v_proj.weight", "?H"},
};

constexpr const char* kOpenaiLayers = "block.";
constexpr Parameter kOpenaiParameters[] = {
    {"embedding.weight", "VH", false},
    {"norm.scale", "H", false},
    {"unembedding.weight", "VH", false},
    {"attn.norm.scale", "H"},
    {"attn.out.bias", "H"},
    {"attn.out.weight", "H?"},
    {"attn.qkv.bias", "?"},
    {"attn.qkv.weight", "?H"},
    {"attn.sinks", "?"},
    {"mlp.gate.bias", "E"},
    {"mlp.gate.weight", "EH"},
    {"mlp.mlp1_bias", ""},
    {"mlp.mlp1_weight", ""},
    {"mlp.mlp2_bias", ""},
    {"mlp.mlp2_weight", ""},
    {"mlp.norm.scale", "H"},
};

// What only dense feed-forward layers have.
constexpr Parameter kDenseMlp[] = {
    {"mlp.down_proj.weight", "HI"}, {"mlp.gate_proj.weight", "IH"}, {"mlp.up_proj.weight", "IH"}};

const char* word_of(char letter) {
  switch (letter) {
    case 'H':
      return "hidden_size";
    case 'I':
      return "intermediate_size";
    case 'E':
      return "the number of experts";
    default:
      return "vocab_size";
  }
}

class Checker {
 public:
  Checker(const Checkpoint& checkpoint, Problems& problems) : checkpoint_(checkpoint), problems_(problems) {}

  void check(const Parameter& parameter, const std::string& name) {
    const Weight* const weight = checkpoint_.find(name);
    if (weight != nullptr) {
      check_dtype(*weight);
      check_sizes(parameter, *weight);
    } else if (checkpoint_.gpt_oss && !excused(name)) {
      report(&problems_, ProblemKind::missing, name,
             "{}: weight '{}' is missing, which every gpt-oss model has", checkpoint_.files.path.native(),
             name);
    }
  }

 private:
  std::optional<std::int64_t> size(char letter) const {
    const ModelConfig& config = checkpoint_.config;
    switch (letter) {
      case 'H':
        return config.hidden_size;
      case 'I':
        return config.intermediate_size;
      case 'E':
        return config.experts;
      case 'V':
        return config.vocabulary;
      default:
        return std::nullopt;
    }
  }

  // A head that is the embedding; codes or scales that have lost each other, of which find_pairs tells;
  // experts that are stored one by one, which check_numbering counts.
  bool excused(const std::string& name) const {
    if (name == "lm_head.weight" && checkpoint_.config.tied_embeddings) return true;
    for (const Convention& convention : conventions()) {
      for (const char* const suffix : {convention.codes_suffix, convention.scales_suffix}) {
        if (checkpoint_.files.find(name + suffix) != nullptr) return true;
      }
    }
    constexpr std::string_view kJoined = "gate_up_proj";
    if (const std::size_t at = name.find(kJoined); at != std::string::npos) {
      const auto has = [&](const char* part) {
        return checkpoint_.find(std::string(name).replace(at, kJoined.size(), part)) != nullptr;
      };
      if (has("gate_proj") && has("up_proj")) return true;
    }
    constexpr std::string_view kExperts = ".experts.";
    const std::size_t experts = name.find(kExperts);
    return experts != std::string::npos && any_begins_with(name.substr(0, experts + kExperts.size()) + "0.");
  }

  bool any_begins_with(const std::string& prefix) const {
    const std::vector<Weight>& weights = checkpoint_.weights;
    return std::any_of(weights.begin(), weights.end(),
                       [&](const Weight& weight) { return weight.name.starts_with(prefix); });
  }

  void check_dtype(const Weight& weight) {
    if (weight.is_quantized() || weight.other != nullptr || is_dense_float(weight.stored->dtype)) return;
    report(&problems_, ProblemKind::dtype, weight.stored->name,
           "{}: tensor '{}' has dtype {}, not F32, F16 or BF16", checkpoint_.files.file_of(*weight.stored),
           weight.stored->name, to_string(weight.stored->dtype));
  }

  void check_sizes(const Parameter& parameter, const Weight& weight) {
    const std::string_view letters = parameter.sizes;
    const Shape& shape = weight.shape();
    if (letters.empty()) return;
    if (shape.size() != letters.size()) {
      report(&problems_, ProblemKind::shape, weight.stored->name,
             "{}: tensor '{}' has shape {}, not {} dimension{}", checkpoint_.files.file_of(*weight.stored),
             weight.stored->name, to_string(weight.stored->shape), letters.size(),
             letters.size() == 1 ? "" : "s");
      return;
    }
    for (std::size_t d = 0; d < letters.size(); ++d) {
      const std::optional<std::int64_t> expected = size(letters[d]);
      if (!expected || shape[d] == *expected) continue;
      report(&problems_, ProblemKind::config, weight.stored->name,
             "{}: tensor '{}' has shape {}, but config.json says that {} is {}",
             checkpoint_.files.file_of(*weight.stored), weight.stored->name, to_string(shape),
             word_of(letters[d]), *expected);
    }
  }

  const Checkpoint& checkpoint_;
  Problems& problems_;
};

// "model.layers.3." for every layer that has any tensor: check_numbering tells of those that have none.
std::set<std::string> layer_paths(const Checkpoint& checkpoint, std::string_view layers) {
  std::set<std::string> paths;
  for (const Weight& weight : checkpoint.weights) {
    if (!weight.name.starts_with(layers)) continue;
    const std::size_t dot = weight.name.find('.', layers.size());
    if (dot != std::string::npos) paths.insert(weight.name.substr(0, dot + 1));
  }
  return paths;
}

}  // namespace

void check_parameters(const Checkpoint& checkpoint, Problems& problems) {
  if (checkpoint.files.config.empty() || !checkpoint.foreign.empty()) return;
  const bool openai = checkpoint.convention == find_convention("openai");
  const std::span<const Parameter> parameters =
      openai ? std::span<const Parameter>(kOpenaiParameters) : std::span<const Parameter>(kParameters);
  Checker checker(checkpoint, problems);
  const auto check_all = [&](std::span<const Parameter> all, const std::string& path, bool in_layer) {
    for (const Parameter& parameter : all) {
      if (parameter.in_layer == in_layer && (checkpoint.gpt_oss || !parameter.gpt_oss_only)) {
        checker.check(parameter, path + parameter.name);
      }
    }
  };
  check_all(parameters, "", false);
  for (const std::string& path : layer_paths(checkpoint, openai ? kOpenaiLayers : kLayers)) {
    check_all(parameters, path, true);
    if (!checkpoint.gpt_oss) check_all(kDenseMlp, path, true);
  }
}

}  // namespace mxfp4
