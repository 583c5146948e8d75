// A device of CUDA as the layers above see it.
#pragma once

#include <memory>
#include <mutex>
#include <string>

#include "mxfp4/kernel/cuda/device/runtime.h"
#include "mxfp4/kernel/device.h"

namespace mxfp4::kernel::cuda {

Traits traits_of(int index);

/// What kernel/backends.inc asks for.
DeviceList list();
std::unique_ptr<ComputeDevice> open(int index);

/// Memory of the device that calls work in. It grows before a forward is launched, never while it is.
struct Workspace {
  Buffer elements, codes, scales, refused;  ///< of one pass over a tensor
  Buffer input, terms, hidden, rows, output, ids, weights;
  Buffer first_position, position_of, token_of, weight_of, token_tiles, token_tile_count;
  Buffer partials;
  Buffer counters;  ///< zero between launches
};

/// What calls on a device share. They take its mutex.
struct Gpu {
  explicit Gpu(int device) : index(device), traits(traits_of(device)), stream(device) {}

  const int index;
  const Traits traits;
  const Stream stream;
  std::mutex mutex;
  Workspace work;
};

std::size_t quantize(Gpu& gpu, const QuantizeArgs& args);
void dequantize(Gpu& gpu, const DequantizeArgs& args);

class CudaDevice : public ComputeDevice {
 public:
  explicit CudaDevice(int index) : gpu_(std::make_shared<Gpu>(index)) {}

  const std::string& name() const noexcept override { return gpu_->traits.name; }
  std::size_t quantize(const QuantizeArgs& args) override { return cuda::quantize(*gpu_, args); }
  void dequantize(const DequantizeArgs& args) override { cuda::dequantize(*gpu_, args); }
  std::unique_ptr<DeviceLayer> linear(const DeviceMatrices& matrices) override;
  std::unique_ptr<DeviceLayer> gather(const DeviceMatrices& matrices) override;
  std::unique_ptr<DeviceLayer> experts(const DeviceExpertMatrices& matrices) override;

 private:
  std::shared_ptr<Gpu> gpu_;  // layers keep it open
};

}  // namespace mxfp4::kernel::cuda
