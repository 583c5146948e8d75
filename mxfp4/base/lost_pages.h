// Pages of a mapped file that can no longer be read: another process has shortened the file, or its disk
// fails.
#pragma once

#include <cstddef>
#include <span>

namespace mxfp4 {

/// Reading such a page raises SIGBUS, which ends a program. After this call it reads as zeros instead, and
/// MappedFile::check_unchanged() tells. Installs a handler for the whole process; a SIGBUS that concerns no
/// MappedFile goes to the handler that stood before.
void survive_lost_pages();

struct WatchSlot;

/// Mapped memory in which a SIGBUS is survived, once survive_lost_pages() has been called: the pages from the
/// one that faulted to the end of the range become zeros. Of thousands of ranges at a time the last ones are
/// not watched.
class WatchedRange {
 public:
  WatchedRange() noexcept = default;
  explicit WatchedRange(std::span<const std::byte> range) noexcept;
  WatchedRange(WatchedRange&& other) noexcept;
  WatchedRange& operator=(WatchedRange&& other) noexcept;
  ~WatchedRange();

  /// Whether that has happened.
  bool lost_pages() const noexcept;

 private:
  WatchSlot* slot_ = nullptr;
};

}  // namespace mxfp4
