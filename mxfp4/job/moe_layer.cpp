#include <algorithm>
#include <utility>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/job/give_back_internal.h"
#include "mxfp4/job/load_linear.h"
#include "mxfp4/job/moe_layer_internal.h"

namespace mxfp4::job {
namespace {

constexpr const char* kExperts = "experts.";
constexpr MoeNames kNames[] = {
    {"model.layers.{}.mlp.", "router", nullptr, nullptr, "gate_proj", "up_proj", "down_proj"},
    {"model.layers.{}.mlp.", "gate", "gate.e_score_correction_bias", nullptr, "gate_proj", "up_proj",
     "down_proj"},
    {"model.layers.{}.block_sparse_moe.", "gate", nullptr, nullptr, "w1", "w3", "w2"},
    {"layers.{}.ffn.", "gate", "gate.bias", "gate.tid2eid", "w1", "w3", "w2"},
    {"block.{}.mlp.", "gate", nullptr, nullptr, "gate_proj", "up_proj", "down_proj", "mlp1_weight",
     "mlp2_weight"},
};

}  // namespace

MoeLayer::MoeLayer(const Checkpoint& checkpoint, std::int64_t number, bool in_place)
    : checkpoint_(checkpoint), in_place_(in_place) {
  check_readable(checkpoint);
  for (const MoeNames& names : kNames) {
    const std::string prefix = fmt::format(fmt::runtime(names.layer), number);
    if (checkpoint.find(prefix + names.router + ".weight") == nullptr) continue;
    names_ = &names;
    prefix_ = prefix;
    return;
  }
  fail(ErrorCode::invalid_argument, "{}: layer {} has no router", where(), number);
}

MoeConfig MoeLayer::config() const {
  return parse_moe_config(checkpoint_.files.config, where() + ": config.json", checkpoint_.gpt_oss);
}

SharedExpert::Projection MoeLayer::projection(const std::string& name, const LayerOptions& options) const {
  const Weight* const weight = find(name + ".weight");
  if (weight == nullptr) {
    fail(ErrorCode::invalid_argument, "{}: there is no weight '{}.weight'", where(), prefix_ + name);
  }
  if (weight->is_quantized()) return load_linear(checkpoint_, prefix_ + name, options);
  return dense_linear(checkpoint_, *weight, find(name + ".bias"));
}

std::optional<OwnedMatrices> MoeLayer::stack(const std::string& name) const {
  if (find(name) == nullptr) return std::nullopt;
  constexpr std::string_view kWeight = "_weight";
  const std::string stem = name.ends_with(kWeight) ? name.substr(0, name.size() - kWeight.size()) : name;
  const Weight* bias = find(stem + "_bias");
  if (bias == nullptr) bias = find(stem + ".bias");
  OwnedMatrices all;
  const Mxfp4View weights = blocks(name, 3, all);
  all.matrices = stacked(weights, bias == nullptr ? DenseView() : dense_of(checkpoint_, *bias));
  return all;
}

Mxfp4View MoeLayer::blocks(const std::string& name, int rank, OwnedMatrices& into) const {
  const Weight& weight = find_mxfp4(checkpoint_, prefix_ + name, rank);
  return blocks_of(checkpoint_, weight, in_place_, into.copies.emplace_back());
}

OwnedMatrices MoeLayer::list(const std::string& name) const {
  OwnedMatrices all;
  const auto member = [&](std::int64_t expert) { return fmt::format("{}{}.{}", kExperts, expert, name); };
  std::int64_t listed = 0;
  while (find(member(listed) + ".weight") != nullptr) ++listed;
  const std::int64_t count = std::max<std::int64_t>(checkpoint_.config.experts.value_or(listed), 1);
  if (listed > count) {
    fail(ErrorCode::corrupt_file, "{}: '{}{}.weight' is one more than the {} experts of the config", where(),
         prefix_, member(count), count);
  }
  const bool biases = find(member(0) + ".bias") != nullptr;
  for (std::int64_t expert = 0; expert < count; ++expert) {
    const Mxfp4View matrix = blocks(member(expert) + ".weight", 2, all);
    all.matrices.weights.push_back(matrix);
    const Weight* const bias = find(member(expert) + ".bias");
    if ((bias != nullptr) != biases) {
      fail(ErrorCode::corrupt_file, "{}: of '{}0.{}' and '{}' only one has a bias", where(),
           prefix_ + kExperts, name, prefix_ + member(expert));
    }
    if (!biases) continue;
    const std::vector<float> values = vector_of(checkpoint_, *bias, matrix.shape[0]);
    all.bias.insert(all.bias.end(), values.begin(), values.end());
  }
  if (biases) {
    all.matrices.bias =
        dense_view(all.bias.data(), Dtype::f32, {count, static_cast<std::int64_t>(all.bias.size()) / count});
  }
  return all;
}

OwnedMatrices MoeLayer::stack_or_list(const char* stack_name, const char* listed) const {
  std::optional<OwnedMatrices> found = stack(stack_name);
  return found ? std::move(*found) : list(listed);
}

}  // namespace mxfp4::job
