// The runtime's functions on the processor's memory.
#include <cstdlib>
#include <cstring>
#include <map>
#include <utility>

#include <cuda_runtime_api.h>

#include "mxfp4/kernel/cuda/fake/test_fake.h"

using mxfp4::kernel::cuda::fake::state;

namespace {

std::map<void*, std::size_t> blocks;
cudaError_t last = cudaSuccess;

cudaError_t result(cudaError_t status) {
  if (status != cudaSuccess) last = status;
  return status;
}

cudaError_t into(cudaStream_t stream) {
  state.streams.insert(stream);
  return cudaSuccess;
}

}  // namespace

cudaError_t cudaGetLastError() {
  return std::exchange(last, cudaSuccess);
}
const char* cudaGetErrorString(cudaError_t) {
  return "a fake's failure";
}
const char* cudaGetErrorName(cudaError_t) {
  return "cudaErrorFake";
}

cudaError_t cudaMalloc(void** memory, std::size_t bytes) {
  if (state.capturing) return result(cudaErrorStreamCaptureUnsupported);
  if (state.memory + bytes > state.most_memory) return result(cudaErrorMemoryAllocation);
  ++state.allocations;
  state.memory += bytes;
  *memory = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
  std::memset(*memory, 0xA5, bytes);  // nobody may take it for zeros
  blocks[*memory] = bytes;
  return cudaSuccess;
}
cudaError_t cudaFree(void* memory) {
  ++state.frees;
  state.memory -= blocks[memory];
  blocks.erase(memory);
  std::free(memory);
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind, cudaStream_t s) {
  if (bytes > 0) std::memcpy(to, from, bytes);
  return into(s);
}
cudaError_t cudaMemsetAsync(void* to, int byte, std::size_t bytes, cudaStream_t s) {
  std::memset(to, byte, bytes);
  return into(s);
}
cudaError_t cudaMemset2DAsync(void* to, std::size_t pitch, int byte, std::size_t width, std::size_t height,
                              cudaStream_t s) {
  for (std::size_t row = 0; row < height; ++row)
    std::memset(static_cast<char*>(to) + row * pitch, byte, width);
  return into(s);
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  static char some[64];
  static std::size_t count = 0;
  *stream = reinterpret_cast<cudaStream_t>(some + count++ % sizeof some);
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t) {
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t) {
  if (state.capturing) return result(cudaErrorStreamCaptureUnsupported);
  ++state.waits;
  return cudaSuccess;
}
cudaError_t cudaStreamIsCapturing(cudaStream_t, cudaStreamCaptureStatus* status) {
  *status = state.capturing ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
  return cudaSuccess;
}

cudaError_t cudaGetDevice(int* device) {
  *device = state.device;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  state.device = device;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceCount(int* count) {
  *count = 2;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  *properties = {};
  std::strcpy(properties->name, "a fake");
  properties->major = 8;
  properties->multiProcessorCount = 4;
  properties->sharedMemPerBlockOptin = 163 * 1024;
  return cudaSuccess;
}
