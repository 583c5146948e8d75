// Pieces of one block of memory, one after the other.
#pragma once

#include <cstddef>

namespace mxfp4::kernel::cuda {

/// Without memory it only counts, and what it gives must not be used.
class Pieces {
 public:
  static constexpr std::size_t kAlignment = 256;

  explicit Pieces(std::byte* begin = nullptr) noexcept : begin_(begin) {}
  template <class T>
  T* take(std::size_t count) noexcept {
    std::byte* const here = begin_ == nullptr ? nullptr : begin_ + bytes_;
    bytes_ += (count * sizeof(T) + kAlignment - 1) / kAlignment * kAlignment;
    return reinterpret_cast<T*>(here);
  }
  std::size_t bytes() const noexcept { return bytes_; }

 private:
  std::byte* begin_;
  std::size_t bytes_ = 0;
};

}  // namespace mxfp4::kernel::cuda
