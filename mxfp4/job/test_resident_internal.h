// How much memory the test program has resident.
#pragma once

#include <cstdint>
#include <fstream>
#include <string>

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

}  // namespace mxfp4
