// Views: tensors that somebody else owns.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "mxfp4/base/device.h"
#include "mxfp4/tensor/dtype.h"
#include "mxfp4/tensor/shape.h"

namespace mxfp4 {

/// Elements of whole bytes at strides. Does not own its data; copying a view copies no elements.
/// Where a dimension is asked for, negative numbers count from the last.
struct DenseView {
  const std::byte* data = nullptr;  ///< the element at index 0; need not be aligned
  Dtype dtype = Dtype::f32;
  Shape shape;                        ///< elements
  std::vector<std::int64_t> strides;  ///< elements, one per dimension
  Device device = {};                 ///< whose memory they lie in

  int rank() const noexcept { return static_cast<int>(shape.size()); }
  std::int64_t elements() const noexcept { return element_count(shape); }

  /// Whether the elements follow each other without gaps, last dimension fastest.
  bool contiguous() const noexcept;

  /// The same elements with two dimensions exchanged. Throws Error invalid_argument if one does not exist.
  DenseView transposed(int a, int b) const;

  /// Indices begin, begin + step, ... below end of one dimension. Throws Error invalid_argument if the
  /// dimension does not exist, unless 0 <= begin <= end <= its size, or for a step below 1.
  DenseView slice(int dimension, std::int64_t begin, std::int64_t end, std::int64_t step = 1) const;

  /// One index of the first dimension; the rank falls by one. Throws Error invalid_argument if there is none.
  DenseView operator[](std::int64_t index) const;
};

/// A view of contiguous elements. Throws Error invalid_argument for a sub-byte dtype, or a shape that
/// byte_size() refuses.
DenseView dense_view(const void* data, Dtype dtype, Shape shape);

/// Copies rows [begin, end) of `view`, its dimensions but the last taken together as rows (a scalar is one
/// row of one), into `out`, (end - begin) * last dimension elements without gaps. Any strides; a transposed
/// view is read in tiles. Throws Error invalid_argument unless 0 <= begin <= end <= rows, and for what lies
/// in a device's memory.
void copy_rows(const DenseView& view, std::int64_t begin, std::int64_t end, void* out);

/// The same into f32, from F32, BF16 or F16. Throws Error invalid_argument for another dtype.
void copy_rows_f32(const DenseView& view, std::int64_t begin, std::int64_t end, float* out);

/// Writes floats without gaps as F32, BF16 or F16, each rounded once. `out` need not be aligned, and may be
/// where they lie themselves.
void write_f32(const float* from, std::size_t count, Dtype dtype, std::byte* out) noexcept;

}  // namespace mxfp4
