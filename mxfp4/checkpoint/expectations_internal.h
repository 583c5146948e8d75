// What config and names let expect of the tensors in a model directory.
#pragma once

#include "mxfp4/checkpoint/checkpoint.h"

namespace mxfp4 {

/// Lists layers and experts that are missing from the numbering or exceed the config's count, weights of a
/// gpt-oss model that are missing, weights of known names whose shape or dtype does not fit the config, and a
/// quantization_config that says something else than the tensors. A bare file may be a part of anything:
/// nothing is expected of it.
void check_expectations(const Checkpoint& checkpoint, Problems& problems);

/// The three parts.
void check_numbering(const Checkpoint& checkpoint, Problems& problems);
void check_parameters(const Checkpoint& checkpoint, Problems& problems);
void check_quantization_config(const Checkpoint& checkpoint, Problems& problems);

}  // namespace mxfp4
