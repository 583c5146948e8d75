// Matrices of one shape in the memory of a device.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "mxfp4/kernel/device.h"
#include "mxfp4/kernel/vulkan/gpu.h"
#include "mxfp4/kernel/vulkan/plan.h"

namespace mxfp4::kernel::vulkan {

/// Copies bytes to a buffer of the device, a bounded staging buffer at a time.
class Uploader {
 public:
  explicit Uploader(Gpu& gpu);

  /// fill(memory, first, count) writes items [first, first + count), `item_bytes` each, for the items from
  /// `first` on; they go to the beginning of `to`.
  template <class Fill>
  void upload(const Buffer& to, std::size_t items, std::size_t item_bytes, const Fill& fill) {
    const std::size_t step = std::max<std::size_t>(staging_.bytes() / item_bytes, 1);
    for (std::size_t first = 0; first < items; first += step) {
      const std::size_t count = std::min(step, items - first);
      fill(room(item_bytes), first, count);
      copy(to, first * item_bytes, count * item_bytes);
    }
  }
  void upload(const Buffer& to, const void* from, std::size_t bytes);

 private:
  std::byte* room(std::size_t bytes);
  void copy(const Buffer& to, std::uint64_t offset, std::uint64_t bytes);

  Gpu& gpu_;
  Buffer staging_;
};

/// Codes interleaved and scales, in rows of padded_blocks(), and biases, cut into what a binding shows.
struct Stack {
  struct Part {
    WeightRange range;
    Buffer codes, scales;
  };
  std::size_t experts = 0, rows = 0, columns = 0, blocks = 0;
  std::vector<Part> parts;
  Buffer bias;
  bool with_bias = false;

  Stack() = default;
  /// Throws Error unsupported if a row is beyond the device's limits.
  Stack(Gpu& gpu, const DeviceMatrices& matrices);
  std::size_t bytes() const noexcept;
};

}  // namespace mxfp4::kernel::vulkan
