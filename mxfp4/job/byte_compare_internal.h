// Stored tensors beside each other, byte by byte.
#pragma once

#include <span>
#include <vector>

#include "mxfp4/container/tensor_file.h"
#include "mxfp4/job/content_scan_internal.h"
#include "mxfp4/job/pass_internal.h"

namespace mxfp4::job {

/// Words of `width` bytes (1, 2, 4 or 8) that are not the same in both; the ranges are of one size.
Found find_different(std::span<const std::byte> a, std::span<const std::byte> b, std::size_t width) noexcept;

/// Two tensors of one dtype and shape.
struct StoredPair {
  const StoredTensor* a = nullptr;
  const StoredTensor* b = nullptr;
  const MappedFile* map_a = nullptr;
  const MappedFile* map_b = nullptr;
  Found different;  ///< elements; bytes where elements are smaller

  /// "[0, 3]: 0.25 in A, 0.5 in B; 2 of 4096 elements differ", if there is a difference.
  std::string text() const;
};

void compare_bytes(std::vector<StoredPair>& pairs, Pass& pass);

}  // namespace mxfp4::job
