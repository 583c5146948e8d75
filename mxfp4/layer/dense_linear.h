// A Linear layer whose weight is no MXFP4: a router's, or one that a quantiser has kept.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "mxfp4/base/context.h"
#include "mxfp4/tensor/view.h"

namespace mxfp4 {

/// y[..., N] = x[..., K] W^T + bias in f32, whatever the activations of the layers around it. Results depend
/// neither on the number of threads nor on the instruction set, and those of a token not on the tokens beside
/// it. Copyable; forward() may be called from several threads at once.
class DenseLinear {
 public:
  /// `weight` is [N, K], the bias [N] or empty (rank 0): F32, BF16 or F16, any strides. Both are copied, the
  /// weight as BF16 where that holds every value. `who` begins every message. Throws Error invalid_argument
  /// for other shapes and dtypes.
  DenseLinear(const char* who, const DenseView& weight, const DenseView& bias = {});

  std::int64_t rows() const noexcept { return rows_; }               ///< N
  std::int64_t columns() const noexcept { return columns_; }         ///< K
  std::size_t memory() const noexcept;                               ///< bytes that this layer owns
  std::vector<float> weight() const;                                 ///< [N, K], a copy
  const std::vector<float>& bias() const noexcept { return bias_; }  ///< [N], or empty

  /// x: F32, BF16 or F16, [..., K], any strides. Writes [..., N] floats without gaps.
  void forward(const DenseView& x, float* y, int threads = available_threads()) const;

 private:
  const char* who_;
  Isa isa_ = default_isa();
  std::int64_t rows_ = 0, columns_ = 0;
  std::vector<std::uint16_t> halves_;  // BF16; or
  std::vector<float> floats_;
  std::vector<float> bias_;
};

}  // namespace mxfp4
