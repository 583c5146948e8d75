// Loaded before the C library (LD_PRELOAD): at the CRASH_AT-th call that changes files the process is killed
// (or gets CRASH_SIGNAL), before the call or, with CRASH_AFTER, after it; with CRASH_ERRNO the call fails
// instead, with that error; with CRASH_HANG it does not return; with CRASH_SPOIL it writes other bytes, if it
// writes. Every call takes CRASH_SLOW microseconds more. CRASH_COUNT names a file for the number of calls.
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

namespace {

std::atomic<long> calls{0};

long number(const char* name) {
  const char* const text = getenv(name);
  return text == nullptr ? 0 : atol(text);
}

template <class Result, class... Arguments>
Result spoiled(Result (*next)(Arguments...), Arguments... arguments) {
  return next(arguments...);
}
ssize_t spoiled(ssize_t (*next)(int, const void*, size_t, off_t), int file, const void* bytes, size_t count,
                off_t at) {
  std::vector<char> other(static_cast<const char*>(bytes), static_cast<const char*>(bytes) + count);
  if (count > 0) other.back() ^= 1;
  return next(file, other.data(), count, at);
}

template <class Result, class... Arguments>
Result crash_around(Result (*next)(Arguments...), Arguments... arguments) {
  static const long at = number("CRASH_AT"), error = number("CRASH_ERRNO"), slow = number("CRASH_SLOW");
  static const bool after = getenv("CRASH_AFTER") != nullptr, hang = getenv("CRASH_HANG") != nullptr;
  static const int signal =
      getenv("CRASH_SIGNAL") != nullptr ? static_cast<int>(number("CRASH_SIGNAL")) : SIGKILL;
  if (slow > 0) usleep(static_cast<useconds_t>(slow));
  const bool now = ++calls == at;
  if (now && error != 0) {
    errno = static_cast<int>(error);
    return -1;
  }
  while (now && hang) pause();
  static const bool spoil = getenv("CRASH_SPOIL") != nullptr;
  if (now && spoil) return spoiled(next, arguments...);
  if (now && !after) kill(getpid(), signal);
  const Result result = next(arguments...);
  if (now && after) kill(getpid(), signal);
  return result;
}

__attribute__((destructor)) void tell() {
  const char* const path = getenv("CRASH_COUNT");
  if (path == nullptr) return;
  FILE* const file = fopen(path, "w");
  fprintf(file, "%ld", calls.load());
  fclose(file);
}

}  // namespace

#define CRASH_IN(result, name, parameters, ...)                                               \
  extern "C" result name parameters {                                                         \
    static const auto next = reinterpret_cast<result(*) parameters>(dlsym(RTLD_NEXT, #name)); \
    return crash_around(next, __VA_ARGS__);                                                   \
  }

CRASH_IN(int, fsync, (int file), file)
CRASH_IN(int, rename, (const char* from, const char* to), from, to)
CRASH_IN(int, renameat2, (int a, const char* from, int b, const char* to, unsigned flags), a, from, b, to,
         flags)
CRASH_IN(int, unlink, (const char* path), path)
CRASH_IN(int, unlinkat, (int at, const char* path, int flags), at, path, flags)
CRASH_IN(int, remove, (const char* path), path)
CRASH_IN(int, mkdir, (const char* path, mode_t mode), path, mode)
CRASH_IN(int, ftruncate, (int file, off_t size), file, size)
CRASH_IN(int, fallocate, (int file, int mode, off_t begin, off_t size), file, mode, begin, size)
CRASH_IN(ssize_t, pwrite, (int file, const void* bytes, size_t count, off_t at), file, bytes, count, at)
CRASH_IN(ssize_t, pwrite64, (int file, const void* bytes, size_t count, off_t at), file, bytes, count, at)
