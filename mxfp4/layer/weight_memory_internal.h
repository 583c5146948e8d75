// Memory of packed weights.
#pragma once

#include <cstddef>
#include <memory>

namespace mxfp4 {

/// Memory that begins on a line; its pages are not touched. Large pieces lie side by side in huge pages,
/// where the system has them: with some of it in small ones a product with one token loses up to a sixth of
/// its speed, and with huge pages of its own every weight would waste up to 2 MiB. Thread-safe.
class WeightMemory {
 public:
  WeightMemory() = default;
  explicit WeightMemory(std::size_t bytes);  ///< throws std::bad_alloc
  std::byte* data() const noexcept { return data_.get(); }

 private:
  std::shared_ptr<std::byte> data_;
};

}  // namespace mxfp4
