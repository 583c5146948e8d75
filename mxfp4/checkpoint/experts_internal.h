// Names and orientation of stacked experts.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "mxfp4/checkpoint/checkpoint.h"

namespace mxfp4 {

enum class ExpertMatrix : std::uint8_t { gate_up, gate, up, down };

/// What the name of stacked experts says.
struct ExpertName {
  std::string prefix;  ///< "model.layers.0.mlp.experts"
  ExpertMatrix matrix = ExpertMatrix::down;
  bool bias = false;
  bool openai = false;  ///< block.0.mlp.mlp1_weight, always [E, N, K]
};

/// Nothing for a name of anything else.
std::optional<ExpertName> parse_expert_name(std::string_view weight_name);

/// The same for a weight that also has the rank: 3, or 2 for a bias.
std::optional<ExpertName> stacked_expert_name(const Weight& weight);

/// Whether dense stacked experts are stored as [E, K, N]: true or false where one of them has hidden_size in
/// one place only and none contradicts it, else nothing.
std::optional<bool> transposed_by_shape(std::span<const Weight> weights, std::int64_t hidden_size);

/// Checks the experts of a gpt-oss model against its config. Throws Error corrupt_file, or lists `problems`.
void check_expert_sizes(const Checkpoint& checkpoint, Problems* problems);

}  // namespace mxfp4
