#include "mxfp4/kernel/cuda/device/cuda_device.h"

#include <utility>
#include <vector>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/kernel/backend_list_internal.h"
#include "mxfp4/kernel/cuda/device/layer.h"

namespace mxfp4::kernel::cuda {
namespace {

int device_count() {
  int count = 0;
  check(cudaGetDeviceCount(&count), "looking for devices");
  return count;
}

std::vector<Traits> all_traits() {
  std::vector<Traits> traits;
  const int count = device_count();
  for (int i = 0; i < count; ++i) traits.push_back(traits_of(i));
  return traits;
}

}  // namespace

Traits traits_of(int index) {
  cudaDeviceProp properties = {};
  check(cudaGetDeviceProperties(&properties, index),
        fmt::format("asking for the properties of device {}", index));
  return {properties.name, properties.major, properties.minor, properties.multiProcessorCount,
          properties.sharedMemPerBlockOptin};
}

Queue::~Queue() {
  cudaStreamSynchronize(stream_.get());  // before the memory that its calls work in goes
}

void Queue::reserve(const WorkSize& size) {
  const Current current(gpu_->index);
  work_.reserve(size, stream_);
}

const Workspace& Queue::work_for(const WorkSize& size) {
  if (!work_.holds(size)) {
    fail(ErrorCode::invalid_argument, "cuda: a call needs {} bytes in its queue, where {} are reserved",
         size.block + size.counters, work_.bytes());
  }
  if (stream_.capturing()) work_.keep();
  return work_;
}

std::unique_ptr<DeviceLayer> CudaDevice::linear(const DeviceMatrices& matrices) {
  return std::make_unique<Layer>(gpu_, matrices);
}

std::unique_ptr<DeviceLayer> CudaDevice::gather(const DeviceMatrices&) {
  fail(ErrorCode::unsupported, "cuda: there are no kernels for ExpertLinear");
}

std::unique_ptr<DeviceLayer> CudaDevice::experts(const DeviceExpertMatrices& matrices) {
  return std::make_unique<Layer>(gpu_, matrices);
}

DeviceList list() {
  return list_of(Backend::cuda, all_traits);
}

std::unique_ptr<ComputeDevice> open(int index) {
  return std::make_unique<CudaDevice>(static_cast<int>(choose({Backend::cuda, index}, all_traits())));
}

}  // namespace mxfp4::kernel::cuda
