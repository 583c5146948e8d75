#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <new>

#include <sys/mman.h>

#include "mxfp4/layer/weight_memory_internal.h"

namespace mxfp4 {
namespace {

constexpr std::size_t kLine = 64, kPage = 4096, kHugePage = 2 << 20, kRegion = 32 << 20;

constexpr std::size_t rounded_up(std::size_t bytes, std::size_t unit) noexcept {
  return (bytes + unit - 1) / unit * unit;
}

struct Free {
  void operator()(std::byte* p) const noexcept { std::free(p); }
};
using Block = std::unique_ptr<std::byte, Free>;

Block allocate(std::size_t bytes, std::size_t alignment) {
  if (bytes > SIZE_MAX - alignment) throw std::bad_alloc();
  Block block(static_cast<std::byte*>(std::aligned_alloc(alignment, rounded_up(bytes, alignment))));
  if (block == nullptr) throw std::bad_alloc();
  return block;
}

/// Huge pages that pieces are cut from, one behind the other. It goes when its last piece does.
class Region {
 public:
  explicit Region(std::size_t bytes)
      : size_(rounded_up(bytes, kHugePage)), block_(allocate(size_, kHugePage)) {
    ::madvise(block_.get(), size_, MADV_HUGEPAGE);
  }
  std::byte* take(std::size_t bytes) noexcept {  // null if that much is not left
    if (bytes > size_ - used_) return nullptr;
    std::byte* const piece = block_.get() + used_;
    used_ += rounded_up(bytes, kLine);
    return piece;
  }

 private:
  std::size_t size_, used_ = 0;
  Block block_;
};

/// Returns the memory of whole pages to the system; they may be part of a region that stays.
void give_back(std::byte* piece, std::size_t bytes) noexcept {
  const auto place = reinterpret_cast<std::uintptr_t>(piece);
  const std::size_t begin = rounded_up(place, kPage) - place, end = (place + bytes) / kPage * kPage - place;
  if (begin < end) ::madvise(piece + begin, end - begin, MADV_DONTNEED);
}

std::shared_ptr<std::byte> piece_of_region(std::size_t bytes) {
  static std::mutex mutex;
  static std::weak_ptr<Region> latest;
  std::shared_ptr<Region> region;
  std::byte* piece = nullptr;
  {
    const std::lock_guard<std::mutex> lock(mutex);
    region = latest.lock();
    if (region != nullptr) piece = region->take(bytes);
    if (piece == nullptr) {
      region = std::make_shared<Region>(std::max(bytes, kRegion));
      piece = region->take(bytes);
      latest = region;
    }
  }
  return {piece, [region, bytes](std::byte* p) { give_back(p, bytes); }};
}

}  // namespace

WeightMemory::WeightMemory(std::size_t bytes) {
  if (bytes >= kHugePage && bytes <= SIZE_MAX - kHugePage) {
    data_ = piece_of_region(bytes);
  } else {
    data_ = allocate(std::max(bytes, kLine), kLine);
  }
}

}  // namespace mxfp4
