// What a device beside the processor computes: from memory of the caller's to memory of the caller's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "mxfp4/base/device.h"
#include "mxfp4/codec/block.h"
#include "mxfp4/kernel/ops.h"
#include "mxfp4/tensor/mxfp4_tensor.h"
#include "mxfp4/tensor/view.h"

namespace mxfp4::kernel {

/// A device that was found.
struct DeviceInfo {
  Device device;
  std::string name;     ///< as its driver calls it
  std::string refusal;  ///< why it is not used; empty if it can be
  bool best = false;    ///< the one that is used where no index is given
};

/// Matrices [N, K] of one shape in blocks of 32, one for each expert, and their biases: [matrices, N] or
/// none. They are read once, while a layer is made.
struct DeviceMatrices {
  std::span<const Mxfp4View> matrices;
  std::span<const float> bias;
  std::function<void(std::span<const std::uint8_t> piece)> done_with = {};

  bool empty() const noexcept { return matrices.empty(); }
  std::size_t rows() const noexcept { return static_cast<std::size_t>(matrices[0].shape[0]); }
  std::size_t columns() const noexcept { return static_cast<std::size_t>(matrices[0].shape[1]); }
};

/// alpha, beta and limit of a gated unit, as GatedUnitArgs has them.
struct DeviceUnit {
  float alpha = 1, beta = 0, limit = 0;
};

/// gate and up alternately in `first`, or gate in `first` and up in `second`.
struct DeviceExpertMatrices {
  DeviceMatrices first, second, down;
  std::vector<DeviceUnit> units;  ///< one for all experts, or one for each
};

/// Which experts the tokens go to: [T, top_k], -1 for nobody. Without ids a layer is a Linear layer.
struct DeviceChoice {
  const std::int32_t* ids = nullptr;
  const float* weights = nullptr;
  std::size_t top_k = 1;
  bool weights_on_input = false;
};

/// A layer whose weights lie in the device's memory.
class DeviceLayer {
 public:
  virtual ~DeviceLayer() = default;
  virtual std::size_t bytes() const noexcept = 0;  ///< of the device's memory, without that of calls
  /// x [..., K] to y [..., N], T rows each, with arguments that were checked. Accumulates in f32, results of
  /// a token depend on nothing but the token and on whether there are more than kDecodeTokens of them.
  /// Thread-safe. Throws Error device or out_of_memory.
  virtual void forward(const DenseView& x, const DeviceChoice& choice, Dtype dtype, void* y) = 0;
};

/// A device in use. Thread-safe; what it does is done one after the other.
class ComputeDevice {
 public:
  virtual ~ComputeDevice() = default;
  virtual const std::string& name() const noexcept = 0;

  /// Whether quantize() has kernels for this: recipes without an origin, importance or reference scales.
  static bool quantizes(const QuantizeArgs& args) noexcept {
    return origin_of(args.recipe) == Origin::none && args.reference == nullptr &&
           args.importance.values == nullptr;
  }
  /// As Ops::quantize and Ops::dequantize, with the same bytes, but without statistics, for any number of
  /// rows. Throw Error device or out_of_memory.
  virtual std::size_t quantize(const QuantizeArgs& args) = 0;
  virtual void dequantize(const DequantizeArgs& args) = 0;

  virtual std::unique_ptr<DeviceLayer> linear(const DeviceMatrices& matrices) = 0;
  virtual std::unique_ptr<DeviceLayer> experts(const DeviceExpertMatrices& matrices) = 0;
};

/// All devices of all backends of this build; where a backend as a whole cannot be used, `why_none` says why.
struct DeviceList {
  std::vector<DeviceInfo> devices;
  std::vector<std::string> why_none;  ///< "vulkan: ..."
};
DeviceList list_devices();

/// cpu_ops().quantize and dequantize on the device of the context, if it names one that has kernels for this:
/// else, since bytes are the same everywhere, on the processor. Statistics are the processor's, which then
/// quantises as well: Error device if the bytes differ. Throw what compute_device() and the device do.
std::size_t quantize_on(const Context& context, const QuantizeArgs& args);
void dequantize_on(const Context& context, const DequantizeArgs& args);

/// Opened when it is first asked for, and kept. Throws Error unsupported, with the reasons, if there is none
/// that can be used.
ComputeDevice& compute_device(const Device& device);

}  // namespace mxfp4::kernel
