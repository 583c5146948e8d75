// Memory for layers: of weights, and of a call.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>

#include <sys/mman.h>

namespace mxfp4 {

inline constexpr std::size_t kLine = 64;

constexpr std::size_t whole_lines(std::size_t bytes) noexcept {
  return (bytes + kLine - 1) / kLine * kLine;
}

/// Memory that begins on a line, in huge pages where it is large and the system has them. Its pages are not
/// touched.
class AlignedMemory {
 public:
  AlignedMemory() = default;
  explicit AlignedMemory(std::size_t bytes) {
    constexpr std::size_t kHugePage = 2 << 20;
    const std::size_t page = bytes >= kHugePage ? kHugePage : kLine;
    data_.reset(static_cast<std::byte*>(std::aligned_alloc(page, (bytes / page + 1) * page)));
    if (data_ == nullptr) throw std::bad_alloc();
    if (page == kHugePage) ::madvise(data_.get(), (bytes / page + 1) * page, MADV_HUGEPAGE);
  }
  std::byte* data() const noexcept { return data_.get(); }

 private:
  struct Free {
    void operator()(std::byte* p) const noexcept { std::free(p); }
  };
  std::unique_ptr<std::byte, Free> data_;
};

/// What a thread keeps memory for: calls within a call need other memory than it.
enum class Kept { call, routes, mlp, dense, shared };

/// Memory of the calling thread that is kept from call to call, so that a layer allocates only until it has
/// seen its largest batch. What was there before is lost. Null if there is none.
inline std::byte* workspace(std::size_t bytes, Kept kept) {
  struct Piece {
    AlignedMemory memory;
    std::size_t size = 0;
  };
  thread_local Piece pieces[5];
  Piece& piece = pieces[static_cast<int>(kept)];
  if (piece.size < bytes || piece.memory.data() == nullptr) {
    piece = {};
    try {
      piece.memory = AlignedMemory(bytes);
    } catch (const std::bad_alloc&) {
      return nullptr;
    }
    piece.size = bytes;
  }
  return piece.memory.data();
}

/// Cuts a workspace into pieces that begin on lines; without one, finds out how large it must be.
class Pieces {
 public:
  explicit Pieces(std::byte* begin = nullptr) : begin_(begin) {}
  template <class T = std::byte>
  T* take(std::size_t count) noexcept {
    T* const piece = begin_ == nullptr ? nullptr : reinterpret_cast<T*>(begin_ + bytes_);
    bytes_ += whole_lines(count * sizeof(T));
    return piece;
  }
  std::size_t bytes() const noexcept { return bytes_; }

 private:
  std::byte* begin_;
  std::size_t bytes_ = 0;
};

}  // namespace mxfp4
