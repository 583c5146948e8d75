#include <algorithm>
#include <map>
#include <set>
#include <vector>

#include "mxfp4/checkpoint/expectations_internal.h"
#include "mxfp4/checkpoint/report_internal.h"

namespace mxfp4 {
namespace {

#define MXFP4_NORMS "input_layernorm.weight post_attention_layernorm.weight "
#define MXFP4_ATTENTION \
  "self_attn.q_proj.weight self_attn.k_proj.weight self_attn.v_proj.weight self_attn.o_proj.weight "
#define MXFP4_BIASES "self_attn.q_proj.bias self_attn.k_proj.bias self_attn.v_proj.bias "
#define MXFP4_HEAD_NORMS "self_attn.q_norm.weight self_attn.k_norm.weight "
#define MXFP4_LATENT                                                     \
  "self_attn.kv_a_proj_with_mqa.weight self_attn.kv_a_layernorm.weight " \
  "self_attn.kv_b_proj.weight self_attn.o_proj.weight "
#define MXFP4_MLP(path) path ".gate_proj.weight " path ".up_proj.weight " path ".down_proj.weight "

// Decoders whose layers differ in nothing but having experts or a dense MLP: what every layer has, what a
// layer without experts has, and one with them, as transformers names it (models/*/modeling_*.py). Separated
// by spaces, one behind each name.
struct Decoder {
  std::string_view model_types, every, dense, sparse;
};
constexpr Decoder kDecoders[] = {
    {"llama mistral ", MXFP4_NORMS MXFP4_ATTENTION, MXFP4_MLP("mlp"), ""},
    {"qwen2 ", MXFP4_NORMS MXFP4_ATTENTION MXFP4_BIASES, MXFP4_MLP("mlp"), ""},
    {"qwen3 ", MXFP4_NORMS MXFP4_ATTENTION MXFP4_HEAD_NORMS, MXFP4_MLP("mlp"), ""},
    {"mixtral ", MXFP4_NORMS MXFP4_ATTENTION, "", "block_sparse_moe.gate.weight "},
    {"qwen2_moe ", MXFP4_NORMS MXFP4_ATTENTION MXFP4_BIASES, MXFP4_MLP("mlp"),
     "mlp.gate.weight mlp.shared_expert_gate.weight " MXFP4_MLP("mlp.shared_expert")},
    {"qwen3_moe ", MXFP4_NORMS MXFP4_ATTENTION MXFP4_HEAD_NORMS, MXFP4_MLP("mlp"), "mlp.gate.weight "},
    {"deepseek_v2 deepseek_v3 kimi_k2 ", MXFP4_NORMS MXFP4_LATENT, MXFP4_MLP("mlp"),
     "mlp.gate.weight " MXFP4_MLP("mlp.shared_experts")},
};

// Where a decoder's layers are: alone, and behind the eyes of a larger model.
constexpr std::string_view kStems[] = {"model.", "language_model.model.", "model.language_model."};

std::vector<std::string> words(std::string_view text) {
  std::vector<std::string> list;
  for (std::size_t space; (space = text.find(' ')) != std::string_view::npos; text.remove_prefix(space + 1))
    list.emplace_back(text.substr(0, space));
  return list;
}

const Decoder* decoder_of(const std::string& model_type) {
  for (const Decoder& decoder : kDecoders) {
    for (const std::string& type : words(decoder.model_types))
      if (type == model_type) return &decoder;
  }
  return nullptr;
}

/// What stands in a row, layers or experts: by number, the names of all that each one has.
using Row = std::map<std::int64_t, std::set<std::string>>;

class Completeness {
 public:
  Completeness(const Checkpoint& checkpoint, Problems& problems)
      : checkpoint_(checkpoint), problems_(problems), decoder_(decoder_of(checkpoint.config.decoder_type)) {
    for (const Problem& problem : problems) {
      if (problem.kind == ProblemKind::missing) told_.insert(problem.tensor);
    }
  }

  void run() {
    for (const Weight& weight : checkpoint_.weights) add(name_of(weight));
    for (const auto& [prefix, experts] : experts_) compare_all(prefix, experts);
    for (auto& [prefix, layers] : layers_) {
      constexpr std::string_view kLayers = "layers";
      const std::string stem = prefix.substr(0, prefix.size() - std::min(prefix.size(), kLayers.size()));
      const bool known = decoder_ != nullptr && stem + "layers" == prefix &&
                         std::find(std::begin(kStems), std::end(kStems), stem) != std::end(kStems);
      // Draft layers, which stand behind the others, are of a kind of their own.
      if (checkpoint_.config.layers)
        layers.erase(layers.lower_bound(*checkpoint_.config.layers), layers.end());
      if (known) {
        expect_listed(stem, layers);
        compare_all(prefix, without_mlp(layers));
      }
      for (const Row& alike : kinds_of(layers)) {
        if (known) {
          compare_all(prefix, alike);
        } else {
          compare_one(prefix, alike, layers);
        }
      }
    }
  }

 private:
  static bool is_sparse(const std::set<std::string>& layer) {
    return std::any_of(layer.begin(), layer.end(), [](const std::string& name) {
      return name.find(".experts.") != std::string::npos || name.starts_with("mlp.gate.");
    });
  }

  // Which tensors another quantisation makes of a weight is not known here: of those the module counts.
  bool stands_for_itself(const std::string& name) const {
    return checkpoint_.foreign.empty() || name.ends_with(".bias");
  }
  std::string known_as(const std::string& name) const {
    return stands_for_itself(name) ? name : name.substr(0, name.rfind('.'));
  }
  bool has(const std::string& name) const { return names_.count(known_as(name)) > 0; }

  // The dense name of a weight, also of codes or scales that have lost each other, of which find_pairs tells.
  std::string name_of(const Weight& weight) const {
    const bool may_be_half = checkpoint_.foreign.empty() && !weight.is_quantized();
    if (!may_be_half || weight.stored->dtype != Dtype::u8) return known_as(weight.name);
    for (const Convention& convention : conventions()) {
      for (const std::string_view suffix : {convention.codes_suffix, convention.scales_suffix}) {
        if (weight.name.ends_with(suffix))
          return weight.name.substr(0, weight.name.size() - suffix.size()) + ".weight";
      }
    }
    return weight.name;
  }

  void add(const std::string& name) {
    names_.insert(name);
    std::set<std::string>* layer = nullptr;
    std::string in_layer;
    for (const Numbered& part : numbered(name)) {
      const std::string prefix = name.substr(0, part.prefix), rest = name.substr(part.rest);
      if (part.experts) {
        experts_[prefix][part.number].insert(rest);
        // One name for all experts: check_numbering tells which of them are there.
        if (layer != nullptr)
          in_layer.replace(in_layer.size() - (name.size() - part.prefix), std::string::npos, ".*." + rest);
      } else {
        layer = &layers_[prefix][part.number];
        in_layer = rest;
      }
    }
    if (layer != nullptr) layer->insert(in_layer);
  }

  void expect_listed(const std::string& stem, const Row& layers) {
    const ModelConfig& config = checkpoint_.config;
    std::vector<std::string> expected;
    for (const auto& [number, names] : layers) {
      const std::string_view mlp = is_sparse(names) ? decoder_->sparse : decoder_->dense;
      for (const std::string_view list : {decoder_->every, mlp}) {
        for (const std::string& name : words(list))
          expected.push_back(fmt::format("{}layers.{}.{}", stem, number, name));
      }
    }
    const auto lacking =
        std::count_if(expected.begin(), expected.end(), [&](auto& name) { return !has(name); });
    if (static_cast<std::size_t>(lacking) > expected.size() / 2) return;  // it calls its weights otherwise
    expected.push_back(stem + "embed_tokens.weight");
    expected.push_back(stem + "norm.weight");
    const bool has_head = std::any_of(config.architectures.begin(), config.architectures.end(),
                                      [](const std::string& name) { return name.ends_with("ForCausalLM"); });
    if (has_head && !config.tied_embeddings && stem == "model.") expected.emplace_back("lm_head.weight");
    for (const std::string& name : expected) {
      if (!has(name)) tell(known_as(name), fmt::format("every {} model has it", config.decoder_type));
    }
  }

  static Row without_mlp(Row layers) {
    for (auto& [number, names] : layers)
      std::erase_if(names, [](const std::string& name) { return name.starts_with("mlp."); });
    return layers;
  }

  // Layers of the same kind: those for which the config's lists of a value per layer ("layer_types", ...) say
  // the same, and which all have experts or all have none.
  std::vector<Row> kinds_of(const Row& layers) const {
    std::map<std::string, Row> kinds;
    for (const auto& [number, names] : layers) {
      std::string kind = is_sparse(names) ? "sparse" : "dense";
      for (const std::vector<std::string>& list : checkpoint_.config.per_layer) {
        if (static_cast<std::size_t>(number) < list.size())
          kind += " " + list[static_cast<std::size_t>(number)];
      }
      kinds[kind].emplace(number, names);
    }
    std::vector<Row> rows;
    for (auto& [kind, row] : kinds) rows.push_back(std::move(row));
    return rows;
  }

  static std::map<std::string, std::size_t> counts_of(const Row& row) {
    std::map<std::string, std::size_t> counts;
    for (const auto& [number, names] : row) {
      for (const std::string& name : names) ++counts[name];
    }
    return counts;
  }

  // What must be alike: whatever at least half have, all have.
  void compare_all(const std::string& prefix, const Row& row) {
    for (const auto& [name, count] : counts_of(row)) {
      if (count == row.size() || 2 * count < row.size() || name.ends_with("inv_freq")) continue;
      for (const auto& [number, names] : row) {
        if (names.count(name) == 0) lacks(prefix, number, name, count, row.size());
      }
    }
  }

  // What is alike as a rule: one layer that has less than all others, and nothing instead, has lost it. The
  // first and the last of all layers may well have less, and parameters of the layer itself vary.
  void compare_one(const std::string& prefix, const Row& row, const Row& layers) {
    if (row.size() < 4) return;
    const std::map<std::string, std::size_t> counts = counts_of(row);
    const auto is_odd = [&](const std::string& name) { return counts.at(name) == 1; };
    for (const auto& [name, count] : counts) {
      const bool of_module = !checkpoint_.foreign.empty() || name.find('.') != std::string::npos;
      if (count + 1 != row.size() || !of_module) continue;
      for (const auto& [number, names] : row) {
        const bool at_an_end = number == layers.begin()->first || number == layers.rbegin()->first;
        if (!at_an_end && names.count(name) == 0 && std::none_of(names.begin(), names.end(), is_odd))
          lacks(prefix, number, name, count, row.size());
      }
    }
  }

  void lacks(const std::string& prefix, std::int64_t number, const std::string& name, std::size_t count,
             std::size_t all) {
    tell(fmt::format("{}.{}.{}", prefix, number, name),
         fmt::format("{} of {} like that have it", count, all));
  }

  void tell(const std::string& name, const std::string& reason) {
    const auto found = told_.lower_bound(name);
    if (found != told_.end() && found->starts_with(name)) return;  // the weight itself, or its codes
    told_.insert(name);
    report(&problems_, ProblemKind::missing, name, "{}: {} '{}' is missing; {}",
           checkpoint_.files.path.native(), stands_for_itself(name) ? "weight" : "module", name, reason);
  }

  const Checkpoint& checkpoint_;
  Problems& problems_;
  const Decoder* decoder_;
  std::set<std::string> names_, told_;
  std::map<std::string, Row> layers_, experts_;
};

}  // namespace

void check_completeness(const Checkpoint& checkpoint, Problems& problems) {
  if (checkpoint.gpt_oss) return;  // check_parameters knows every name
  // A shard that is missing explains everything else that is.
  const auto is_shard = [](const Problem& problem) {
    return problem.kind == ProblemKind::missing && problem.tensor.empty();
  };
  if (std::any_of(problems.begin(), problems.end(), is_shard)) return;
  Completeness(checkpoint, problems).run();
}

}  // namespace mxfp4
