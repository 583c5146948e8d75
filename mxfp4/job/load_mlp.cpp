#include "mxfp4/job/load_mlp.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/checkpoint/moe_config.h"
#include "mxfp4/job/give_back_internal.h"

namespace mxfp4::job {
namespace {

/// How a family calls the parts of a layer.
struct Names {
  const char* layer;       ///< what all begin with; "{}" is the layer's number
  const char* router;      ///< with ".weight" and ".bias"
  const char* correction;  ///< of the router's scores, or null
  const char* table;       ///< of expert ids by token id, instead of a choice, or null
  const char* shared;      ///< what the names of shared experts begin with, or null
  const char* experts;     ///< what those begin with that are listed one by one, "3.gate_proj.weight"
  const char *gate, *up, *down;
  const char *gate_up, *gates, *ups, *downs;  ///< stacked: all of a layer in one weight
};
constexpr Names kNames[] = {
    {"model.layers.{}.mlp.", "router", nullptr, nullptr, nullptr, "experts.", "gate_proj", "up_proj",
     "down_proj", "experts.gate_up_proj", "experts.gate_proj", "experts.up_proj", "experts.down_proj"},
    {"model.layers.{}.mlp.", "gate", "gate.e_score_correction_bias", nullptr, "shared_expert", "experts.",
     "gate_proj", "up_proj", "down_proj", "experts.gate_up_proj", "experts.gate_proj", "experts.up_proj",
     "experts.down_proj"},
    {"model.layers.{}.block_sparse_moe.", "gate", nullptr, nullptr, nullptr, "experts.", "w1", "w3", "w2",
     "experts.gate_up_proj", "experts.gate_proj", "experts.up_proj", "experts.down_proj"},
    {"layers.{}.ffn.", "gate", "gate.bias", "gate.tid2eid", "shared_experts", "experts.", "w1", "w3", "w2",
     "experts.gate_up_proj", "experts.gate_proj", "experts.up_proj", "experts.down_proj"},
    {"block.{}.mlp.", "gate", nullptr, nullptr, nullptr, "experts.", "gate_proj", "up_proj", "down_proj",
     "mlp1_weight", "experts.gate_proj", "experts.up_proj", "mlp2_weight"},
};

/// The matrices of all experts, with memory for biases that had to be collected.
struct Matrices {
  ExpertMatrices matrices;
  std::vector<float> bias;
};

class Layer {
 public:
  Layer(const Checkpoint& checkpoint, std::int64_t number) : checkpoint_(checkpoint) {
    check_readable(checkpoint);
    for (const Names& names : kNames) {
      const std::string prefix = fmt::format(fmt::runtime(names.layer), number);
      if (checkpoint.find(prefix + names.router + ".weight") == nullptr) continue;
      names_ = &names;
      prefix_ = prefix;
      return;
    }
    fail(ErrorCode::invalid_argument, "{}: layer {} has no router", checkpoint.files.path.string(), number);
  }

  const Names& names() const noexcept { return *names_; }
  MoeConfig config() const {
    const std::string where = checkpoint_.files.path.string() + ": config.json";
    return parse_moe_config(checkpoint_.files.config, where, checkpoint_.gpt_oss);
  }
  const Weight* find(const std::string& name) const { return checkpoint_.find(prefix_ + name); }

  void refuse(const char* name, const char* what) const {
    if (name == nullptr) return;
    for (const Weight& weight : checkpoint_.weights) {
      if (!weight.name.starts_with(prefix_ + name)) continue;
      fail(ErrorCode::unsupported, "{}: '{}': {}", checkpoint_.files.path.string(), weight.name, what);
    }
  }

  /// The stack of that name, if there is one.
  std::optional<Matrices> stack(const std::string& name) const {
    if (find(name) == nullptr) return std::nullopt;
    constexpr std::string_view kWeight = "_weight";
    const std::string stem = name.ends_with(kWeight) ? name.substr(0, name.size() - kWeight.size()) : name;
    const Weight* bias = find(stem + "_bias");
    if (bias == nullptr) bias = find(stem + ".bias");
    return Matrices{stacked(find_mxfp4(checkpoint_, prefix_ + name, 3).quantized.view(),
                            bias == nullptr ? DenseView() : dense_of(checkpoint_, *bias)),
                    {}};
  }

  /// The matrices of that name that are listed one by one.
  Matrices list(const std::string& name) const {
    Matrices all;
    const auto member = [&](std::int64_t expert) {
      return fmt::format("{}{}.{}", names_->experts, expert, name);
    };
    std::int64_t listed = 0;
    while (find(member(listed) + ".weight") != nullptr) ++listed;
    const std::int64_t count = std::max<std::int64_t>(checkpoint_.config.experts.value_or(listed), 1);
    if (listed > count) {
      fail(ErrorCode::corrupt_file, "{}: '{}{}.weight' is one more than the {} experts of the config",
           checkpoint_.files.path.string(), prefix_, member(count), count);
    }
    const bool biases = find(member(0) + ".bias") != nullptr;
    for (std::int64_t expert = 0; expert < count; ++expert) {
      const std::string path = prefix_ + member(expert);
      const Mxfp4View matrix = find_mxfp4(checkpoint_, path + ".weight", 2).quantized.view();
      all.matrices.weights.push_back(matrix);
      const Weight* const bias = find(member(expert) + ".bias");
      if ((bias != nullptr) != biases) {
        fail(ErrorCode::corrupt_file, "{}: of '{}0.{}' and '{}' only one has a bias",
             checkpoint_.files.path.string(), prefix_ + names_->experts, name, path);
      }
      if (!biases) continue;
      const std::vector<float> values = vector_of(checkpoint_, *bias, matrix.shape[0]);
      all.bias.insert(all.bias.end(), values.begin(), values.end());
    }
    if (biases) {
      all.matrices.bias = dense_view(all.bias.data(), Dtype::f32,
                                     {count, static_cast<std::int64_t>(all.bias.size()) / count});
    }
    return all;
  }

 private:
  const Checkpoint& checkpoint_;
  const Names* names_ = nullptr;
  std::string prefix_;
};

RouterScore score_of(MoeConfig::Score score) {
  switch (score) {
    case MoeConfig::Score::softmax:
      return RouterScore::softmax;
    case MoeConfig::Score::sigmoid:
      return RouterScore::sigmoid;
    case MoeConfig::Score::sqrt_softplus:
      break;
  }
  return RouterScore::sqrt_softplus;
}

}  // namespace

Experts load_experts(const Checkpoint& checkpoint, std::int64_t number, LayerOptions options) {
  const Layer layer(checkpoint, number);
  const Names& names = layer.names();
  const MoeConfig config = layer.config();
  const auto one_of = [&](const char* stacked, const char* listed) {
    std::optional<Matrices> found = layer.stack(stacked);
    return found ? std::move(*found) : layer.list(listed);
  };
  ExpertWeights weights;
  weights.unit = {{config.alpha, config.beta, config.limit}};
  Matrices gate, up;
  if (const std::optional<Matrices> both = layer.stack(names.gate_up)) {
    const std::int64_t rows = both->matrices.weights.front().shape[0];
    if (checkpoint.gpt_oss) {
      weights.gate_up = both->matrices;
    } else {
      weights.gate = rows_of_each(both->matrices, 0, rows / 2);
      weights.up = rows_of_each(both->matrices, rows / 2, rows - rows / 2);
    }
  } else {
    gate = one_of(names.gates, names.gate);
    up = one_of(names.ups, names.up);
    weights.gate = gate.matrices;
    weights.up = up.matrices;
  }
  const Matrices down = one_of(names.downs, names.down);
  weights.down = down.matrices;
  return Experts(weights, giving_back(checkpoint, std::move(options)));
}

Router load_router(const Checkpoint& checkpoint, std::int64_t number) {
  const Layer layer(checkpoint, number);
  const Names& names = layer.names();
  const MoeConfig config = layer.config();
  layer.refuse(names.table, "a router that looks experts up by token ids");
  RouterOptions options;
  options.top_k = config.top_k;
  options.score = score_of(config.score);
  options.renormalize = config.renormalize;
  options.factor = config.factor;
  options.groups = config.groups;
  options.top_groups = config.top_groups;
  const std::string router = names.router;
  const Weight* const correction = names.correction == nullptr ? nullptr : layer.find(names.correction);
  const Weight* const bias = layer.find(router + ".bias");
  const DenseView& weight = dense_of(checkpoint, *layer.find(router + ".weight"));
  if (correction != nullptr) {
    options.correction = vector_of(checkpoint, *correction, weight.rank() > 0 ? weight.shape[0] : 0);
  }
  const bool biased = bias != nullptr && bias != correction;
  return Router(weight, biased ? dense_of(checkpoint, *bias) : DenseView(), std::move(options));
}

Mlp load_mlp(const Checkpoint& checkpoint, std::int64_t number, LayerOptions options) {
  const Layer layer(checkpoint, number);
  layer.refuse(layer.names().shared, "a shared expert, which is not computed here");
  return Mlp(load_router(checkpoint, number), load_experts(checkpoint, number, std::move(options)));
}

}  // namespace mxfp4::job
