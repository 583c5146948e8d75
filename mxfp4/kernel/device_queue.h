// Work on tensors that lie in a device's memory, in a queue of the caller's.
#pragma once

#include <cstddef>
#include <memory>

#include "mxfp4/base/device.h"
#include "mxfp4/kernel/ops.h"
#include "mxfp4/tensor/mxfp4_tensor.h"
#include "mxfp4/tensor/view.h"

namespace mxfp4::kernel {

/// Elements to quantise along the last dimension, any strides; codes and scales as QuantizeArgs has them. All
/// lie in the device's memory, codes at a multiple of 4 bytes.
struct DeviceQuantize {
  const DenseView& x;
  int block_size = 32;
  Recipe recipe = {};
  std::uint8_t* codes = nullptr;
  std::uint8_t* scales = nullptr;
};

/// A queue of a device (of CUDA, a stream that somebody else owns) and the memory that calls in it work in,
/// which is shared as they are done one after the other. Calls only add to the queue: they neither wait for
/// the device nor allocate its memory, so that CUDA graphs can capture them. Memory is reserved before, by
/// the layers' reserve(), and kept; what was captured is kept for the graph until the queue ends, and the
/// queue must outlive the graph. Used by one thread at a time.
class DeviceQueue {
 public:
  virtual ~DeviceQueue() = default;
  virtual Device device() const noexcept = 0;      ///< with its index
  virtual std::size_t bytes() const noexcept = 0;  ///< of reserved memory

  /// As ComputeDevice's. Under NonFinite::error quantize() waits for the queue, to know; it throws Error
  /// invalid_argument while a graph is captured. Throw Error invalid_argument for memory that is not aligned.
  virtual std::size_t quantize(const DeviceQuantize& args) = 0;
  virtual void dequantize(const DequantizeArgs& args) = 0;
};

/// `stream`: a cudaStream_t, null for the default one. Throws Error unsupported for a device without queues:
/// the processor, Vulkan's; and what compute_device() throws.
std::unique_ptr<DeviceQueue> open_queue(const Device& device, void* stream);

}  // namespace mxfp4::kernel
