// What stands in the bytes of a tensor, counted at the speed of memory.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "mxfp4/tensor/dtype.h"

namespace mxfp4::job {

/// Elements of one kind: how many, and the index of the first.
struct Found {
  std::uint64_t count = 0;
  std::uint64_t first = 0;  ///< if there are any

  /// Adds what was found in another part, whose elements begin at index `begin`.
  void add(const Found& part, std::uint64_t begin) noexcept;
};

/// Whether elements of the dtype can be NaN or infinite, as far as is looked for: floats of 8 to 64 bits but
/// the FNUZ ones.
bool can_be_nonfinite(Dtype dtype) noexcept;

/// NaN and infinities among whole elements; bytes need not be aligned. Of F8_E8M0 this is the byte 255. None
/// for a dtype that has no such values.
Found find_nonfinite(Dtype dtype, std::span<const std::byte> bytes) noexcept;

struct CodeCounts {
  std::uint64_t negative_zeros = 0;  ///< code 8
  std::uint64_t saturated = 0;       ///< codes 7 and 15: 6 and -6
  std::uint64_t zero_blocks = 0;     ///< blocks of 32 zeros of any sign
  std::uint64_t codes = 0, blocks = 0;

  void add(const CodeCounts& other) noexcept;
};

/// Codes of whole blocks of 32, 16 bytes each.
CodeCounts count_codes(std::span<const std::byte> codes) noexcept;

/// How often each byte stands.
using ByteCounts = std::array<std::uint64_t, 256>;
ByteCounts count_bytes(std::span<const std::byte> bytes) noexcept;

}  // namespace mxfp4::job
