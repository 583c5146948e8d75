#include "mxfp4/layer/expert_matrices.h"

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/tensor/shape.h"

namespace mxfp4 {

ExpertMatrices stacked(const Mxfp4View& weight, const DenseView& bias) {
  if (weight.shape.size() != 3) {
    fail(ErrorCode::invalid_argument, "experts: a stack has shape {}, not [E, N, K]",
         to_string(weight.shape));
  }
  ExpertMatrices matrices{{}, bias};
  Mxfp4View matrix = weight;
  matrix.shape = {weight.shape[1], weight.shape[2]};
  for (std::int64_t e = 0; e < weight.shape[0]; ++e) {
    matrices.weights.push_back(matrix);
    matrix.codes += matrix.code_bytes();
    matrix.scales += matrix.scale_bytes();
  }
  return matrices;
}

ExpertMatrices rows_of_each(const ExpertMatrices& matrices, std::int64_t first, std::int64_t count) {
  ExpertMatrices part = matrices;
  for (Mxfp4View& matrix : part.weights) {
    if (matrix.shape.size() != 2 || first < 0 || count < 0 || first > matrix.shape[0] - count) {
      fail(ErrorCode::invalid_argument, "experts: there are no rows {} to {} in a matrix of shape {}", first,
           first + count, to_string(matrix.shape));
    }
    const std::int64_t blocks = first * matrix.blocks_per_row();
    matrix.codes += blocks * (matrix.block_size / 2);
    matrix.scales += blocks;
    matrix.shape[0] = count;
  }
  if (part.bias.rank() == 2) part.bias = part.bias.slice(1, first, first + count);
  return part;
}

}  // namespace mxfp4
