// What config and names let expect of the tensors in a model directory.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "mxfp4/checkpoint/checkpoint.h"

namespace mxfp4 {

/// Lists weights that a layer or an expert lacks, layers and experts that are missing from the numbering or
/// exceed the config's count, weights of known names whose shape or dtype does not fit the config, and a
/// quantization_config that says something else than the tensors. A bare file without a config may be a part
/// of anything: nothing is expected of it.
void check_expectations(const Checkpoint& checkpoint, Problems& problems);

/// The four parts. check_completeness comes first: it keeps quiet where a shard is missing.
void check_completeness(const Checkpoint& checkpoint, Problems& problems);
void check_numbering(const Checkpoint& checkpoint, Problems& problems);
void check_parameters(const Checkpoint& checkpoint, Problems& problems);
void check_quantization_config(const Checkpoint& checkpoint, Problems& problems);

/// A number in a tensor's name that counts layers, or experts: "model.layers.3.mlp.down_proj.weight".
struct Numbered {
  std::size_t prefix = 0;  ///< length of "model.layers"
  std::int64_t number = 0;
  std::size_t rest = 0;  ///< where "mlp.down_proj.weight" begins
  bool experts = false;
};

/// The first that counts layers and the first that counts experts, if any: no model nests more, and a name
/// may be as long as a header.
std::vector<Numbered> numbered(std::string_view name);

}  // namespace mxfp4
