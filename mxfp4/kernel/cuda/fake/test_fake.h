// What the fake runtime has seen, and how it can be made to fail.
#pragma once

#include <cstddef>
#include <set>

namespace mxfp4::kernel::cuda::fake {

struct State {
  int device = 0;  ///< the current one, of two
  std::size_t allocations = 0, frees = 0;
  std::size_t waits = 0;     ///< of the host for a stream
  std::size_t launches = 0;  ///< kernels
  std::set<void*> streams;   ///< that something was put into
  bool capturing = false;    ///< then waiting and allocating fail, as they do on a device
  std::size_t memory = 0;    ///< bytes that are allocated now
  std::size_t most_memory = static_cast<std::size_t>(-1);
};
inline State state;

/// A kernel was launched.
inline void launched(void* stream) {
  ++state.launches;
  state.streams.insert(stream);
}

}  // namespace mxfp4::kernel::cuda::fake
