// A Linear layer whose weight stays MXFP4: y = x W^T + bias.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "mxfp4/layer/options.h"
#include "mxfp4/tensor/dtype.h"
#include "mxfp4/tensor/mxfp4_tensor.h"
#include "mxfp4/tensor/view.h"

namespace mxfp4 {

/// y[..., N] = x[..., K] W^T + bias. Results depend neither on the number of threads nor on the instruction
/// set, and those of a token not on the tokens beside it. Movable; forward() may be called from several
/// threads at once.
class Linear {
 public:
  /// `weight` is [N, K] in blocks of 32, K the logical number of columns; the bias has N values, or none.
  /// Throws Error invalid_argument for another rank, block size or number of biases, unsupported if the
  /// machine lacks the context's instruction set, out_of_memory.
  explicit Linear(const Mxfp4View& weight, std::span<const float> bias = {},
                  const LayerOptions& options = {});
  Linear(Linear&&) noexcept;
  Linear& operator=(Linear&&) noexcept;
  ~Linear();

  std::int64_t rows() const noexcept;     ///< N, the outputs
  std::int64_t columns() const noexcept;  ///< K, the inputs
  bool packed() const noexcept;           ///< or the weight is used where it lies
  std::size_t memory() const noexcept;    ///< bytes that this layer owns

  /// Memory in the queue of the layer's device, for calls of up to so many tokens. What is there is kept, and
  /// enough for every layer that asked for it. Throws Error invalid_argument if the weight lies elsewhere,
  /// out_of_memory, device.
  void reserve(DeviceQueue& queue, std::size_t tokens) const;

  /// x: F32, BF16 or F16, [..., K], any strides. Writes [..., N] elements of `dtype` (F32, BF16, F16) without
  /// gaps to y, which must not overlap x. NaN and infinity make the outputs of their own token NaN or
  /// infinite. Throws Error invalid_argument for another dtype, when the last dimension of x is not K, or if
  /// x lies elsewhere than options.queue says; in a queue, also unless x lies without gaps and enough was
  /// reserved.
  void forward(const DenseView& x, Dtype dtype, void* y, const ForwardOptions& options = {}) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace mxfp4
