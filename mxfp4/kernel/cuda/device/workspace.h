// Memory of a device that the calls in one stream work in, one after the other.
#pragma once

#include <vector>

#include "mxfp4/kernel/cuda/device/runtime.h"
#include "mxfp4/kernel/cuda/plan.h"

namespace mxfp4::kernel::cuda {

/// A block that every call lays out for itself, and counters that are zero between launches. It grows before
/// a call is launched, never while it is.
class Workspace {
 public:
  std::size_t bytes() const noexcept { return block_.bytes() + counters_.bytes(); }
  bool holds(const WorkSize& size) const noexcept {
    return size.block <= block_.bytes() && size.counters <= counters_.bytes();
  }
  /// At least so much; waits for the stream if that is more than before. Throws Error invalid_argument while
  /// a graph is captured.
  void reserve(const WorkSize& size, const Stream& stream);
  /// Graphs know these addresses: they stay from now on.
  void keep() noexcept { kept_ = true; }

  std::byte* block() const noexcept { return block_.as<std::byte>(); }
  unsigned* counters() const noexcept { return counters_.as<unsigned>(); }

 private:
  void replace(Buffer& buffer, std::size_t bytes);

  Buffer block_, counters_;
  std::vector<Buffer> of_graphs_;
  bool kept_ = false;
};

}  // namespace mxfp4::kernel::cuda
