// Lines of a tensor with any strides: what a kernel that quantises along any axis reads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "mxfp4/codec/macros.h"

namespace mxfp4::kernel::cuda {

/// Element i of line l lies at l / inner * outer_stride + l % inner * inner_stride + i * element_stride
/// elements from the first.
struct Lines {
  std::size_t count = 0;  ///< a multiple of `inner`
  std::size_t inner = 1;
  std::int64_t outer_stride = 0, inner_stride = 0, element_stride = 1;

  MXFP4_CODEC std::int64_t begin(std::size_t line) const noexcept {
    return static_cast<std::int64_t>(line / inner) * outer_stride +
           static_cast<std::int64_t>(line % inner) * inner_stride;
  }
};

/// All lines along the last dimension: `each`, once from every place in `begins`.
struct LinePlan {
  Lines each;
  std::vector<std::int64_t> begins;
};

/// For a shape without zeros. Dimensions that follow each other in memory count as one, so that an axis of a
/// contiguous tensor is one launch.
inline LinePlan line_plan(const std::vector<std::int64_t>& shape, const std::vector<std::int64_t>& strides) {
  struct Dimension {
    std::int64_t size, stride;
  };
  std::vector<Dimension> merged;
  for (std::size_t d = 0; d + 1 < shape.size(); ++d) {
    if (shape[d] == 1) continue;
    if (!merged.empty() && merged.back().stride == strides[d] * shape[d]) {
      merged.back() = {merged.back().size * shape[d], strides[d]};
    } else {
      merged.push_back({shape[d], strides[d]});
    }
  }
  while (merged.size() < 2) merged.insert(merged.begin(), {1, 0});
  const Dimension outer = merged[merged.size() - 2], inner = merged.back();
  LinePlan plan;
  plan.each = {static_cast<std::size_t>(outer.size * inner.size), static_cast<std::size_t>(inner.size),
               outer.stride, inner.stride, strides.back()};
  plan.begins = {0};
  for (std::size_t d = 0; d + 2 < merged.size(); ++d) {
    std::vector<std::int64_t> next;
    for (const std::int64_t begin : plan.begins) {
      for (std::int64_t i = 0; i < merged[d].size; ++i) next.push_back(begin + i * merged[d].stride);
    }
    plan.begins = std::move(next);
  }
  return plan;
}

}  // namespace mxfp4::kernel::cuda
