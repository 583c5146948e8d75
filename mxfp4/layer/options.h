// How layers are made and run.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "mxfp4/base/context.h"
#include "mxfp4/kernel/device_queue.h"
#include "mxfp4/kernel/linear_ops.h"

namespace mxfp4 {

using kernel::Activation;
using kernel::DeviceQueue;
using kernel::open_queue;

struct LayerOptions {
  /// Copies the weights into the layout of the kernels, the fastest for any number of tokens. Without, they
  /// are used where they lie, in a mapped file for example, and must outlive the layer: memory() is small,
  /// and the layer made as soon as the scales and a few rows are read. Made for few tokens; results are as
  /// exact, of other bits. A device has a copy in any case.
  bool pack = true;
  /// Called while packing, from any of the threads, with pieces of the weights that will not be read again.
  std::function<void(std::span<const std::uint8_t> piece)> done_with = {};
  /// Threads to make it with, and the instruction set or the device, which forward() uses as well. A device
  /// has results of its own: of f32 sums, the same for a token whatever stands beside it, but for calls of up
  /// to 8 tokens and of more, which are computed in two ways.
  Context context = {};
};

struct ForwardOptions {
  Activation activation = Activation::exact;
  int threads = available_threads();
  /// For tensors in a device's memory: x, y and all else that the call is given lie on the queue's device, as
  /// the weights do, and the call returns before it is done. See reserve() of the layer.
  DeviceQueue* queue = nullptr;
};

}  // namespace mxfp4
