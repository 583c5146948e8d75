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
#include "mxfp4/kernel/device_queue.h"
#include "mxfp4/kernel/linear_ops.h"
#include "mxfp4/kernel/ops.h"
#include "mxfp4/kernel/router_options.h"
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

/// logits = x W^T + bias, and what RouterOptions make of them.
struct DeviceRouter {
  std::span<const float> weight;  ///< [E, K]
  std::span<const float> bias;    ///< [E] or none
  const RouterOptions& options;
};

/// Which experts the tokens go to: [T, top_k], -1 for nobody. Where a layer has a router, it chooses if there
/// are no ids, and weighs if there are no weights.
struct DeviceChoice {
  const std::int32_t* ids = nullptr;
  const float* weights = nullptr;  ///< experts alone look at them
  std::size_t top_k = 1;
  bool weights_on_input = false;
};

/// One forward pass, from x with T rows to y without gaps, whose elements are of `dtype`:
///
///   linear   x [..., K] to y [..., N]; there is no choice
///   gather   x [T, K], or [T, top_k, K], to y [T, top_k, N]; zeros for nobody
///   experts  x [..., K] to y [..., K]
struct DeviceCall {
  const DenseView& x;
  Activation activation = Activation::exact;
  DeviceChoice choice = {};
  Dtype dtype = Dtype::f32;
  void* y = nullptr;
  DeviceQueue* queue = nullptr;  ///< x, y, ids and weights lie in the memory of its device; null: here
};

/// A layer whose weights lie in the device's memory.
class DeviceLayer {
 public:
  virtual ~DeviceLayer() = default;
  virtual std::size_t bytes() const noexcept = 0;  ///< of the device's memory, without that of calls
  /// The device in whose queues it can be called, or the processor if in none.
  virtual Device queues() const noexcept { return {}; }
  /// Memory in the queue for calls of up to so many tokens, of any dtype. Waits for the queue if there is
  /// more to reserve. Throws Error out_of_memory or device.
  virtual void reserve(DeviceQueue&, std::size_t /*tokens*/, std::size_t /*top_k*/) {}
  /// Arguments were checked. Accumulates in f32; what becomes of a token depends on nothing but the token and
  /// on whether there are more than 8 of them. Thread-safe. Throws Error unsupported, with the reason, for
  /// activations that the device has no kernels for, device or out_of_memory. In a queue it returns at once,
  /// ids that are no expert count as nobody, x must lie without gaps, and Error invalid_argument says that
  /// more must be reserved.
  virtual void forward(const DeviceCall& call) = 0;
  /// Gives experts their router, before any call. False where the backend has none: routes come with the
  /// calls then. Throws Error device or out_of_memory.
  virtual bool route_by(const DeviceRouter&) { return false; }
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

  /// As open_queue(); null where there are none.
  virtual std::unique_ptr<DeviceQueue> queue(void* /*stream*/) { return nullptr; }

  /// Throw Error unsupported, with the reason, for what the device cannot hold or has no kernels for.
  virtual std::unique_ptr<DeviceLayer> linear(const DeviceMatrices& matrices) = 0;
  virtual std::unique_ptr<DeviceLayer> gather(const DeviceMatrices& matrices) = 0;
  virtual std::unique_ptr<DeviceLayer> experts(const DeviceExpertMatrices& matrices) = 0;
};

/// All devices of all backends of this build; where a backend as a whole cannot be used, `why_none` says why.
struct DeviceList {
  std::vector<DeviceInfo> devices;
  std::vector<std::string> why_none;  ///< "vulkan: ..."
};
DeviceList list_devices();

/// cpu_ops().quantize and dequantize on the device of the context, if it names one that has kernels for this:
/// else, since bytes are the same everywhere, on the processor. Statistics are the processor's, of the bytes
/// that have come back. Throw what compute_device() and the device do.
std::size_t quantize_on(const Context& context, const QuantizeArgs& args);
void dequantize_on(const Context& context, const DequantizeArgs& args);

/// Opened when it is first asked for, and kept. Throws Error unsupported, with the reasons, if there is none
/// that can be used.
ComputeDevice& compute_device(const Device& device);

}  // namespace mxfp4::kernel
