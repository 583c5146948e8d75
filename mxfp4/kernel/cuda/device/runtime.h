// The runtime with errors as Error, and memory and streams that end by themselves.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include <cuda_runtime_api.h>

#include "mxfp4/kernel/cuda/traits.h"

namespace mxfp4::kernel::cuda {

/// Throws Error if `status` is a failure: "cuda: <what>: <the runtime's words> (<its name for it>)".
void check(cudaError_t status, std::string_view what);

/// The launch that was just made. What its kernel does wrong is found by the next call that waits.
inline void check_launch(std::string_view kernel) {
  check(cudaGetLastError(), kernel);
}

/// Throws Error invalid_argument unless memory of a caller's is aligned.
void check_aligned(std::string_view what, const void* data, std::size_t alignment);

/// Memory of the current device.
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(std::size_t bytes);
  ~Buffer();
  Buffer(Buffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }

  std::size_t bytes() const noexcept { return bytes_; }
  template <class T>
  T* as() const noexcept {
    return static_cast<T*>(data_);
  }
  /// At least so many bytes; what was there is lost.
  void grow(std::size_t bytes) {
    if (bytes <= bytes_) return;
    *this = Buffer();  // before there is more
    Buffer larger(bytes);
    *this = std::move(larger);
  }

 private:
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

class Stream {
 public:
  /// One of its own, on a device.
  static Stream make(int device);
  /// Somebody else's.
  explicit Stream(cudaStream_t stream) noexcept : stream_(stream) {}
  ~Stream();
  Stream(Stream&& other) noexcept
      : stream_(std::exchange(other.stream_, nullptr)), owned_(std::exchange(other.owned_, false)) {}
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  cudaStream_t get() const noexcept { return stream_; }
  void to_device(void* out, const void* in, std::size_t bytes, std::string_view what) const;
  void to_host(void* out, const void* in, std::size_t bytes, std::string_view what) const;
  void fill(void* out, int byte, std::size_t bytes, std::string_view what) const;
  void wait(std::string_view what) const;
  /// Whether what is put into it becomes a graph: then nothing can be waited for.
  bool capturing() const;

 private:
  cudaStream_t stream_ = nullptr;
  bool owned_ = false;
};

/// Makes a device the calling thread's for as long as it lives.
class Current {
 public:
  explicit Current(int device);
  ~Current();
  Current(const Current&) = delete;
  Current& operator=(const Current&) = delete;

 private:
  int before_ = 0;
};

}  // namespace mxfp4::kernel::cuda
