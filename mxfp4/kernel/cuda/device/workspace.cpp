#include "mxfp4/kernel/cuda/device/workspace.h"

#include <utility>

#include "mxfp4/base/fail_internal.h"

namespace mxfp4::kernel::cuda {

void Workspace::replace(Buffer& buffer, std::size_t bytes) {
  if (bytes <= buffer.bytes()) return;
  if (kept_ && buffer.bytes() > 0) of_graphs_.push_back(std::exchange(buffer, Buffer()));
  buffer.grow(bytes);
}

void Workspace::reserve(const WorkSize& size, const Stream& stream) {
  if (holds(size)) return;
  if (stream.capturing()) {
    fail(ErrorCode::invalid_argument,
         "cuda: {} bytes are to be reserved while a graph is captured; reserve them before", size.block);
  }
  stream.wait("reserving memory");  // what is replaced may be in use
  replace(block_, size.block);
  if (size.counters <= counters_.bytes()) return;
  replace(counters_, size.counters);
  stream.fill(counters_.as<void>(), 0, counters_.bytes(), "clearing counters");
  stream.wait("clearing counters");  // a graph that is captured next may run in another stream
}

}  // namespace mxfp4::kernel::cuda
