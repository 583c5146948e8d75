// How often the test program has allocated.
#pragma once

#include <cstddef>

namespace mxfp4::test {

/// Calls of operator new and aligned_alloc, on any thread.
std::size_t allocations() noexcept;

}  // namespace mxfp4::test
