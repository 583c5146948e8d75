#include "mxfp4/base/lost_pages.h"

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <mutex>
#include <utility>

#include <sys/mman.h>
#include <unistd.h>

namespace mxfp4 {

// The handler reads the slots while other threads fill and free them: begin is written last and cleared
// first.
struct WatchSlot {
  std::atomic<std::uintptr_t> begin{0}, end{0};  // begin is 0 in a free slot
  std::atomic<bool> lost{false};
};

namespace {

static_assert(std::atomic<std::uintptr_t>::is_always_lock_free && std::atomic<bool>::is_always_lock_free);

WatchSlot slots[4096];
std::mutex slots_mutex;
struct sigaction previous_action;
std::uintptr_t page_size = 0;

bool replace_lost_pages(std::uintptr_t address) noexcept {
  for (WatchSlot& slot : slots) {
    const std::uintptr_t begin = slot.begin;
    const std::uintptr_t end = slot.end;
    if (begin == 0 || address < begin || address >= end) continue;
    const std::uintptr_t page = address / page_size * page_size;
    if (mmap(reinterpret_cast<void*>(page), end - page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
             -1, 0) == MAP_FAILED) {
      return false;
    }
    slot.lost = true;
    return true;
  }
  return false;
}

extern "C" void on_bus_error(int number, siginfo_t* info, void* context) {
  const int saved = errno;
  if (!replace_lost_pages(reinterpret_cast<std::uintptr_t>(info->si_addr))) {
    if ((previous_action.sa_flags & SA_SIGINFO) != 0) {
      previous_action.sa_sigaction(number, info, context);
    } else if (previous_action.sa_handler != SIG_DFL && previous_action.sa_handler != SIG_IGN) {
      previous_action.sa_handler(number);
    } else {
      sigaction(number, &previous_action, nullptr);
      raise(number);  // once this handler has returned
    }
  }
  errno = saved;
}

}  // namespace

void survive_lost_pages() {
  static const bool once = [] {
    page_size = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
    struct sigaction action = {};
    action.sa_sigaction = on_bus_error;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGBUS, nullptr, &previous_action);
    return sigaction(SIGBUS, &action, nullptr) == 0;
  }();
  static_cast<void>(once);
}

WatchedRange::WatchedRange(std::span<const std::byte> range) noexcept {
  const std::lock_guard lock(slots_mutex);
  for (WatchSlot& slot : slots) {
    if (slot.begin != 0) continue;
    slot.lost = false;
    slot.end = reinterpret_cast<std::uintptr_t>(range.data() + range.size());
    slot.begin = reinterpret_cast<std::uintptr_t>(range.data());
    slot_ = &slot;
    return;
  }
}

WatchedRange::WatchedRange(WatchedRange&& other) noexcept : slot_(std::exchange(other.slot_, nullptr)) {}

WatchedRange& WatchedRange::operator=(WatchedRange&& other) noexcept {
  std::swap(slot_, other.slot_);
  return *this;
}

WatchedRange::~WatchedRange() {
  if (slot_ != nullptr) slot_->begin = 0;
}

bool WatchedRange::lost_pages() const noexcept {
  return slot_ != nullptr && slot_->lost;
}

}  // namespace mxfp4
