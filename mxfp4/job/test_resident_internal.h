// How much memory the test program has resident.
#pragma once

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <string>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace mxfp4 {

/// Bytes, those of mapped files as well.
inline std::uint64_t resident_bytes() {
  std::ifstream status("/proc/self/status");
  std::uint64_t kilobytes = 0;
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmRSS:")) kilobytes = std::stoull(line.substr(6));
  }
  return kilobytes * 1024;
}

/// How much more it has become since this was made. What earlier tests have freed is given back before.
class ResidentGrowth {
 public:
  ResidentGrowth() {
#if defined(__GLIBC__)
    malloc_trim(0);
#endif
    before_ = resident_bytes();
  }
  std::uint64_t bytes() const {
    return std::max(resident_bytes(), before_) - before_;
  }

 private:
  std::uint64_t before_ = 0;
};

}  // namespace mxfp4
