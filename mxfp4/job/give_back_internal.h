// Layers that are packed from a checkpoint's mapped files.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "mxfp4/checkpoint/checkpoint.h"
#include "mxfp4/layer/dense_linear.h"
#include "mxfp4/layer/options.h"

namespace mxfp4::job {

/// `options` with a done_with that also gives back the pages of the checkpoint's files. Refers to it.
LayerOptions giving_back(const Checkpoint& checkpoint, LayerOptions options);

/// The quantised weight of that name, of `rank` dimensions. Throws Error invalid_argument if there is none,
/// unsupported if it is not MXFP4 or of another rank.
const Weight& find_mxfp4(const Checkpoint& checkpoint, const std::string& name, int rank);

/// Codes and scales for a layer: where they lie, or, if they lie in turns (GGUF), in `copy`, which must
/// outlive the view. Throws Error unsupported for the latter if the layer is to use them `in_place`.
Mxfp4View blocks_of(const Checkpoint& checkpoint, const Weight& weight, bool in_place,
                    std::vector<std::uint8_t>& copy);

/// The elements of a dense weight. Throws Error unsupported if it is not F32, BF16 or F16.
const DenseView& dense_of(const Checkpoint& checkpoint, const Weight& weight);

/// A Linear layer that is not MXFP4, without bias if that is null. Throws Error unsupported for another rank
/// or dtype, or if nothing here reads its quantisation.
DenseLinear dense_linear(const Checkpoint& checkpoint, const Weight& weight, const Weight* bias);

/// The values of a vector of `size` elements. Throws Error unsupported for another shape or dtype.
std::vector<float> vector_of(const Checkpoint& checkpoint, const Weight& weight, std::int64_t size);

}  // namespace mxfp4::job
