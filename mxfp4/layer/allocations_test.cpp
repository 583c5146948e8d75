// Counts the allocations of the test program by replacing operator new and aligned_alloc, which workspaces
// use.
#include <atomic>
#include <cstdlib>
#include <new>

#include "mxfp4/layer/test_allocations_internal.h"

namespace {
std::atomic<std::size_t> count{0};
}  // namespace

void* operator new(std::size_t size) {
  ++count;
  if (void* const memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
extern "C" void* aligned_alloc(std::size_t alignment, std::size_t size) noexcept {
  ++count;
  void* memory = nullptr;
  return posix_memalign(&memory, alignment, size) == 0 ? memory : nullptr;
}

namespace mxfp4::test {

std::size_t allocations() noexcept {
#ifdef __SANITIZE_THREAD__
  return 0;  // the build for it starts threads anew for every loop (base/parallel.cpp), which allocates
#else
  return count;
#endif
}

}  // namespace mxfp4::test
