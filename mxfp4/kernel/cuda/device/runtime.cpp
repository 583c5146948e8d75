#include "mxfp4/kernel/cuda/device/runtime.h"

#include "mxfp4/base/fail_internal.h"

namespace mxfp4::kernel::cuda {

static_assert(kMemoryAllocation == cudaErrorMemoryAllocation &&
              kInsufficientDriver == cudaErrorInsufficientDriver && kNoDevice == cudaErrorNoDevice);

void check(cudaError_t status, std::string_view what) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // forgets it, unless it is one that ends the device
  fail(code_of(status), "cuda: {}: {} ({})", what, cudaGetErrorString(status), cudaGetErrorName(status));
}

void check_aligned(std::string_view what, const void* data, std::size_t alignment) {
  if (reinterpret_cast<std::uintptr_t>(data) % alignment == 0) return;
  fail(ErrorCode::invalid_argument, "cuda: {} lie at {}, no multiple of {} bytes", what, fmt::ptr(data),
       alignment);
}

Buffer::Buffer(std::size_t bytes) : bytes_(bytes) {
  if (bytes > 0) check(cudaMalloc(&data_, bytes), fmt::format("allocating {} bytes", bytes));
}

Buffer::~Buffer() {
  if (data_ != nullptr) cudaFree(data_);
}

Stream Stream::make(int device) {
  const Current current(device);
  Stream made(nullptr);
  check(cudaStreamCreateWithFlags(&made.stream_, cudaStreamNonBlocking), "making a stream");
  made.owned_ = true;
  return made;
}

Stream::~Stream() {
  if (owned_) cudaStreamDestroy(stream_);
}

bool Stream::capturing() const {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  check(cudaStreamIsCapturing(stream_, &status), "asking whether a graph is captured");
  return status != cudaStreamCaptureStatusNone;
}

void Stream::to_device(void* out, const void* in, std::size_t bytes, std::string_view what) const {
  check(cudaMemcpyAsync(out, in, bytes, cudaMemcpyHostToDevice, stream_), what);
}

void Stream::to_host(void* out, const void* in, std::size_t bytes, std::string_view what) const {
  check(cudaMemcpyAsync(out, in, bytes, cudaMemcpyDeviceToHost, stream_), what);
}

void Stream::fill(void* out, int byte, std::size_t bytes, std::string_view what) const {
  check(cudaMemsetAsync(out, byte, bytes, stream_), what);
}

void Stream::wait(std::string_view what) const {
  check(cudaStreamSynchronize(stream_), what);
}

Current::Current(int device) {
  check(cudaGetDevice(&before_), "asking for the current device");
  check(cudaSetDevice(device), fmt::format("choosing device {}", device));
}

Current::~Current() {
  cudaSetDevice(before_);
}

}  // namespace mxfp4::kernel::cuda
