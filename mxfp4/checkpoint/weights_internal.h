// Stored tensors to weights under their dense names.
#pragma once

#include <vector>

#include "mxfp4/checkpoint/checkpoint.h"
#include "mxfp4/checkpoint/pairs_internal.h"

namespace mxfp4 {

/// The weights of a model, sorted by name, dense ones seen as they are stored. Throws Error corrupt_file for
/// a weight that is stored twice; with `problems`, lists it.
std::vector<Weight> read_weights(const ModelFiles& files, const Pairs& pairs, Problems* problems = nullptr);

/// Sorts weights by name. Throws Error corrupt_file for a weight that is stored twice; with `problems`, lists
/// it.
void sort_weights(const ModelFiles& files, std::vector<Weight>& weights, Problems* problems);

/// Whether it is dense experts of gpt-oss as transformers saves them after dequantising: under the name of
/// the codes.
bool is_saved_as_blocks(const StoredTensor& tensor);

}  // namespace mxfp4
