// The checksum of a file that is written in pieces, in whatever order.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

namespace mxfp4 {

/// CRC-32C of a file (Castagnoli's polynomial 0x1EDC6F41, reflected, ones before and after: RFC 3720,
/// appendix B.4). Pieces may be added from several threads; each byte must be added once.
class FileCrc32c {
 public:
  /// Of a file of `size` bytes.
  explicit FileCrc32c(std::uint64_t size) noexcept : size_(size) {}

  void add(std::uint64_t offset, std::span<const std::byte> bytes) noexcept;

  std::uint32_t value() const noexcept;

 private:
  std::uint64_t size_;
  std::atomic<std::uint32_t> sum_{0};
};

/// How remainders are computed.
namespace crc32c {

/// Of `bytes` as a polynomial times x^32, modulo Castagnoli's, with x^31 in the lowest bit; `before` is the
/// remainder of what stands before them.
using Remainder = std::uint32_t (*)(std::uint32_t before, std::span<const std::byte> bytes) noexcept;

std::uint32_t portable(std::uint32_t before, std::span<const std::byte> bytes) noexcept;

/// With the processor's own instruction; null where it has none.
Remainder accelerated() noexcept;

}  // namespace crc32c
}  // namespace mxfp4
