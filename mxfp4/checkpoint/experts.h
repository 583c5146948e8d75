// Experts that are stacked in one tensor, and the matrices that they are stacked of.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "mxfp4/checkpoint/checkpoint.h"

namespace mxfp4 {

/// Rows begin, begin + step, ... below end of every expert: the dimension after the experts', of the weight
/// as Weight::dense and Weight::quantized show it.
struct ExpertRows {
  const char* projection = "";  ///< "gate_proj", "up_proj" or "down_proj"
  std::int64_t begin = 0, end = 0, step = 1;
};

/// The parts of stacked experts.
struct StackedExperts {
  std::string prefix;        ///< "model.layers.0.mlp.experts"
  std::int64_t experts = 0;  ///< E
  bool bias = false;         ///< [E, N], not [E, N, K]
  std::vector<ExpertRows> parts;

  /// The weight of one expert where a checkpoint lists them one by one: PREFIX.3.gate_proj.weight, or .bias.
  std::string name(std::int64_t expert, const ExpertRows& part) const;
};

/// The parts of a weight called {...}.experts.{gate_up,gate,up,down}_proj, rank 3, or of its bias {..}_bias,
/// rank 2; nothing for any other weight. gate_up alternates gate and up rows in a gpt-oss model; in all
/// others the gate rows stand before the up rows.
std::optional<StackedExperts> stacked_experts(const Checkpoint& checkpoint, const Weight& weight);

}  // namespace mxfp4
