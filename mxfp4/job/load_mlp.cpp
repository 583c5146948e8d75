#include "mxfp4/job/load_mlp.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/job/give_back_internal.h"
#include "mxfp4/job/moe_layer_internal.h"
#include "mxfp4/layer/shard_weights.h"

namespace mxfp4::job {
namespace {

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

/// The weights of a layer's experts where they lie, and memory that they may refer to.
struct Found {
  ExpertWeights weights;
  OwnedMatrices gate, up, down;
};

Found find_experts(const Checkpoint& checkpoint, std::int64_t number, bool pack) {
  const MoeLayer layer(checkpoint, number, !pack);
  const MoeNames& names = layer.names();
  const MoeConfig config = layer.config();
  Found found;
  ExpertWeights& weights = found.weights;
  weights.unit = {{config.alpha, config.beta, config.limit}};
  if (const std::optional<OwnedMatrices> both = layer.stack(names.both)) {
    const std::int64_t rows = both->matrices.weights.front().shape[0];
    if (checkpoint.gpt_oss) {
      weights.gate_up = both->matrices;
    } else {
      weights.gate = rows_of_each(both->matrices, 0, rows / 2);
      weights.up = rows_of_each(both->matrices, rows / 2, rows - rows / 2);
    }
  } else {
    found.gate = layer.stack_or_list("experts.gate_proj", names.gate);
    found.up = layer.stack_or_list("experts.up_proj", names.up);
    weights.gate = found.gate.matrices;
    weights.up = found.up.matrices;
  }
  found.down = layer.stack_or_list(names.downs, names.down);
  weights.down = found.down.matrices;
  return found;
}

}  // namespace

Experts load_experts(const Checkpoint& checkpoint, std::int64_t number, LayerOptions options) {
  const Found found = find_experts(checkpoint, number, options.pack);
  return Experts(found.weights, giving_back(checkpoint, std::move(options)));
}

namespace {

ShardedExperts sharded(const Checkpoint& checkpoint, const Found& found, Communicator& ranks,
                       const ShardPlan& plan, LayerOptions options) {
  if (!options.pack && plan.tensor > 1) {
    fail(ErrorCode::unsupported,
         "{}: columns of a weight cannot be used where they lie: without packing, {} ranks "
         "can share experts, not their channels",
         checkpoint.files.path.string(), ranks.size());
  }
  const std::optional<WeightShard> shard = shard_weights(found.weights, plan, ranks.rank());
  std::optional<Experts> mine;
  if (shard) mine.emplace(shard->weights, giving_back(checkpoint, std::move(options)));
  return ShardedExperts(ranks, plan, std::move(mine));
}

}  // namespace

ShardedExperts load_sharded_experts(const Checkpoint& checkpoint, std::int64_t number, Communicator& ranks,
                                    const ShardPlan& plan, LayerOptions options) {
  const Found found = find_experts(checkpoint, number, options.pack);
  return sharded(checkpoint, found, ranks, plan, std::move(options));
}

ShardedExperts load_sharded_experts(const Checkpoint& checkpoint, std::int64_t number, Communicator& ranks,
                                    int tensor, LayerOptions options) {
  const Found found = find_experts(checkpoint, number, options.pack);
  const auto count = static_cast<std::int64_t>(found.weights.down.weights.size());
  return sharded(checkpoint, found, ranks, share_experts(count, ranks.size(), tensor), std::move(options));
}

namespace {

Router router_of(const MoeLayer& layer) {
  const Checkpoint& checkpoint = layer.checkpoint();
  const MoeNames& names = layer.names();
  const MoeConfig config = layer.config();
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

/// The names of the expert that all tokens share, as far as they do not depend on the family.
constexpr const char* kShared[] = {"shared_experts.", "shared_expert."};
constexpr const char* kShare = "shared_expert_gate.weight";

std::optional<SharedExpert> shared_of(const MoeLayer& layer, const LayerOptions& options) {
  const Checkpoint& checkpoint = layer.checkpoint();
  const MoeNames& names = layer.names();
  const auto is_there = [&](const std::string& module) {
    return std::any_of(checkpoint.weights.begin(), checkpoint.weights.end(), [&](const Weight& weight) {
      return weight.name.starts_with(layer.prefix() + module);
    });
  };
  const auto* const found = std::find_if(std::begin(kShared), std::end(kShared), is_there);
  const MoeConfig config = layer.config();
  if (found == std::end(kShared)) {
    if (!config.shared) return std::nullopt;
    fail(ErrorCode::corrupt_file, "{}: config.json has shared experts, '{}' has none", layer.where(),
         layer.prefix());
  }
  const auto projection = [&](const char* name) {
    return layer.projection(std::string(*found) + name, options);
  };
  std::optional<DenseLinear> share;
  if (const Weight* const weight = layer.find(kShare)) share = dense_linear(checkpoint, *weight, nullptr);
  return SharedExpert(projection(names.gate), projection(names.up), projection(names.down),
                      {config.alpha, config.beta, config.limit}, std::move(share));
}

std::vector<std::int32_t> table_of(const MoeLayer& layer, int top_k) {
  const Weight* const table = layer.table();
  if (table == nullptr) return {};
  const StoredTensor& stored = *table->stored;
  const bool ids = stored.dtype == Dtype::i32 || stored.dtype == Dtype::i64;
  if (!ids || stored.shape.size() != 2 || stored.shape[1] != top_k) {
    fail(ErrorCode::unsupported, "{}: '{}' is {} {}; I32 or I64 [V, {}] can be", layer.where(), table->name,
         to_string(stored.dtype), to_string(stored.shape), top_k);
  }
  std::vector<std::int32_t> values(static_cast<std::size_t>(element_count(stored.shape)));
  for (std::size_t i = 0; i < values.size(); ++i) {
    std::int64_t id = 0;  // little-endian, whose first half is the I32
    const std::size_t size = static_cast<std::size_t>(bits_of(stored.dtype)) / 8;
    std::memcpy(&id, stored.bytes.data() + i * size, size);
    constexpr std::int64_t kMost = INT32_MAX;
    values[i] = static_cast<std::int32_t>(id < 0 || id > kMost ? -1 : id);
  }
  return values;
}

}  // namespace

Router load_router(const Checkpoint& checkpoint, std::int64_t number) {
  const MoeLayer layer(checkpoint, number);
  if (const Weight* const table = layer.table()) {
    fail(ErrorCode::unsupported, "{}: '{}': a router that looks experts up by token ids", layer.where(),
         table->name);
  }
  return router_of(layer);
}

Mlp load_mlp(const Checkpoint& checkpoint, std::int64_t number, LayerOptions options) {
  const MoeLayer layer(checkpoint, number);
  Router router = router_of(layer);
  MlpParts parts;
  parts.table = table_of(layer, router.top_k());
  parts.shared = shared_of(layer, options);
  return Mlp(std::move(router), load_experts(checkpoint, number, std::move(options)), std::move(parts));
}

}  // namespace mxfp4::job
