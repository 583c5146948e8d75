// A Linear layer per expert, whose weights stay MXFP4.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "mxfp4/layer/expert_matrices.h"
#include "mxfp4/layer/options.h"
#include "mxfp4/tensor/dtype.h"
#include "mxfp4/tensor/view.h"

namespace mxfp4 {

/// For callers that put the layers of an expert together themselves. Results depend neither on the number of
/// threads nor on the instruction set, and those of a token not on the tokens beside it. Movable; gather()
/// may be called from several threads at once.
class ExpertLinear {
 public:
  /// As Experts.
  explicit ExpertLinear(const ExpertMatrices& matrices, const LayerOptions& options = {});
  ExpertLinear(ExpertLinear&&) noexcept;
  ExpertLinear& operator=(ExpertLinear&&) noexcept;
  ~ExpertLinear();

  std::int64_t count() const noexcept;    ///< E
  std::int64_t rows() const noexcept;     ///< N
  std::int64_t columns() const noexcept;  ///< K
  std::size_t memory() const noexcept;    ///< bytes that this layer owns

  /// y[t, s] = W[ids[t, s]] x + bias[ids[t, s]], [T, top_k, N] elements of `dtype`, where x is x[t] of [T, K]
  /// or x[t, s] of [T, top_k, K]. An id of -1 gives zeros. Throws as Experts::forward().
  void gather(const DenseView& x, const std::int32_t* ids, int top_k, Dtype dtype, void* y,
              const ForwardOptions& options = {}) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace mxfp4
