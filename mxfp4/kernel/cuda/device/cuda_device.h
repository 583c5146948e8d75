// A device of CUDA as the layers above see it.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "mxfp4/kernel/cuda/device/workspace.h"
#include "mxfp4/kernel/device.h"

namespace mxfp4::kernel::cuda {

Traits traits_of(int index);

/// What kernel/backends.inc asks for.
DeviceList list();
std::unique_ptr<ComputeDevice> open(int index);

/// What calls from here share on a device. They take its mutex.
struct Gpu {
  explicit Gpu(int device) : index(device), traits(traits_of(device)), stream(Stream::make(device)) {}

  const int index;
  const Traits traits;
  const Stream stream;
  std::mutex mutex;
  Workspace work;
};

std::size_t quantize(Gpu& gpu, const QuantizeArgs& args);
void dequantize(Gpu& gpu, const DequantizeArgs& args);

/// Somebody else's stream, and memory of its own.
class Queue final : public DeviceQueue {
 public:
  Queue(std::shared_ptr<Gpu> gpu, cudaStream_t stream) : gpu_(std::move(gpu)), stream_(stream) {}
  ~Queue() override;

  Device device() const noexcept override { return {Backend::cuda, gpu_->index}; }
  std::size_t bytes() const noexcept override { return work_.bytes(); }
  std::size_t quantize(const DeviceQuantize& args) override;
  void dequantize(const DequantizeArgs& args) override;

  const Stream& stream() const noexcept { return stream_; }
  void reserve(const WorkSize& size);
  /// The memory of a call that is launched next. Throws Error invalid_argument if it needs more.
  const Workspace& work_for(const WorkSize& size);

 private:
  std::shared_ptr<Gpu> gpu_;
  Stream stream_;
  Workspace work_;
};

class CudaDevice : public ComputeDevice {
 public:
  explicit CudaDevice(int index) : gpu_(std::make_shared<Gpu>(index)) {}

  const std::string& name() const noexcept override { return gpu_->traits.name; }
  std::size_t quantize(const QuantizeArgs& args) override { return cuda::quantize(*gpu_, args); }
  void dequantize(const DequantizeArgs& args) override { cuda::dequantize(*gpu_, args); }
  std::unique_ptr<DeviceQueue> queue(void* stream) override {
    return std::make_unique<Queue>(gpu_, static_cast<cudaStream_t>(stream));
  }
  std::unique_ptr<DeviceLayer> linear(const DeviceMatrices& matrices) override;
  std::unique_ptr<DeviceLayer> gather(const DeviceMatrices& matrices) override;
  std::unique_ptr<DeviceLayer> experts(const DeviceExpertMatrices& matrices) override;

 private:
  std::shared_ptr<Gpu> gpu_;  // layers keep it open
};

}  // namespace mxfp4::kernel::cuda
