// The matrices of experts, wherever they lie.
#pragma once

#include <cstdint>
#include <vector>

#include "mxfp4/tensor/mxfp4_tensor.h"
#include "mxfp4/tensor/view.h"

namespace mxfp4 {

/// One Linear layer of every expert: E matrices [N, K] in blocks of 32, all of one shape, and biases [E, N]
/// (F32, BF16 or F16, any strides) or none (rank 0).
struct ExpertMatrices {
  std::vector<Mxfp4View> weights;
  DenseView bias = {};
};

/// The matrices of a stack [E, N, K]. Throws Error invalid_argument for another rank.
ExpertMatrices stacked(const Mxfp4View& weight, const DenseView& bias = {});

/// Rows [first, first + count) of every expert. Throws Error invalid_argument unless all have them.
ExpertMatrices rows_of_each(const ExpertMatrices& matrices, std::int64_t first, std::int64_t count);

}  // namespace mxfp4
