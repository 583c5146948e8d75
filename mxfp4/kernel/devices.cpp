#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/kernel/device.h"

#define MXFP4_BACKEND(name)                       \
  namespace mxfp4::kernel::name {                 \
  DeviceList list();                              \
  std::unique_ptr<ComputeDevice> open(int index); \
  }
#include "mxfp4/kernel/backends.inc"
#undef MXFP4_BACKEND

namespace mxfp4::kernel {

DeviceList list_devices() {
  DeviceList all;
#define MXFP4_BACKEND(name)                                                              \
  {                                                                                      \
    DeviceList here = name::list();                                                      \
    all.devices.insert(all.devices.end(), here.devices.begin(), here.devices.end());     \
    all.why_none.insert(all.why_none.end(), here.why_none.begin(), here.why_none.end()); \
  }
#include "mxfp4/kernel/backends.inc"
#undef MXFP4_BACKEND
  return all;
}

ComputeDevice& compute_device(const Device& device) {
  static std::mutex mutex;
  // Never destroyed: drivers have ends of their own at the end of a process.
  static auto& open = *new std::map<std::pair<Backend, int>, std::unique_ptr<ComputeDevice>>;
  const std::lock_guard lock(mutex);
  std::unique_ptr<ComputeDevice>& here = open[{device.backend, device.index}];
  if (here != nullptr) return *here;
#define MXFP4_BACKEND(name) \
  if (device.backend == Backend::name) here = name::open(device.index);
#include "mxfp4/kernel/backends.inc"
#undef MXFP4_BACKEND
  if (here == nullptr) {
    fail(ErrorCode::unsupported, "{}: this build of mxfp4 has no such backend", to_string(device));
  }
  return *here;
}

std::unique_ptr<DeviceQueue> open_queue(const Device& device, void* stream) {
  std::unique_ptr<DeviceQueue> queue = device.is_cpu() ? nullptr : compute_device(device).queue(stream);
  if (queue == nullptr) {
    fail(ErrorCode::unsupported, "{}: has no queues; cuda has", to_string(device));
  }
  return queue;
}

std::size_t quantize_on(const Context& context, const QuantizeArgs& args) {
  if (context.device.is_cpu() || !ComputeDevice::quantizes(args)) return cpu_ops(context.isa).quantize(args);
  const std::size_t refused = compute_device(context.device).quantize(args);
  if (args.stats == nullptr || refused != kNone) return refused;
  cpu_ops(context.isa).measure(args);
  return kNone;
}

void dequantize_on(const Context& context, const DequantizeArgs& args) {
  if (context.device.is_cpu()) return cpu_ops(context.isa).dequantize(args);
  compute_device(context.device).dequantize(args);
}

}  // namespace mxfp4::kernel
