// A rank's part of the experts of a layer.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "mxfp4/comm/shard.h"
#include "mxfp4/layer/experts.h"

namespace mxfp4 {

/// Weights that refer to others', or to the memory that is with them. Movable.
struct WeightShard {
  ExpertWeights weights;
  std::vector<std::vector<std::uint8_t>> bytes;
  std::vector<std::vector<float>> biases;
};

/// Rank `rank`'s part of all experts' weights, nothing for a rank without experts. Only that part is read,
/// and of it only what cannot be used where it lies: columns of down, padded rows, biases. Throws Error
/// invalid_argument if the plan is for another number of experts, and what cut_channels() throws.
std::optional<WeightShard> shard_weights(const ExpertWeights& all, const ShardPlan& plan, int rank);

}  // namespace mxfp4
