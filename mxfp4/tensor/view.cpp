#include "mxfp4/tensor/view.h"

#include <algorithm>
#include <utility>

#include "mxfp4/base/fail_internal.h"

namespace mxfp4 {
namespace {

std::size_t dimension_of(const DenseView& view, int dimension) {
  const int index = dimension < 0 ? view.rank() + dimension : dimension;
  if (index < 0 || index >= view.rank()) {
    fail(ErrorCode::invalid_argument, "a view of shape {} has no dimension {}", view.shape, dimension);
  }
  return static_cast<std::size_t>(index);
}

const std::byte* element(const DenseView& view, std::size_t dimension, std::int64_t index) {
  return view.data + index * view.strides[dimension] * (bits_of(view.dtype) / 8);
}

}  // namespace

bool DenseView::contiguous() const noexcept {
  if (elements() == 0) return true;
  std::int64_t expected = 1;
  for (std::size_t d = shape.size(); d-- > 0;) {
    if (shape[d] != 1 && strides[d] != expected) return false;
    expected *= shape[d];
  }
  return true;
}

DenseView DenseView::transposed(int a, int b) const {
  const std::size_t first = dimension_of(*this, a), second = dimension_of(*this, b);
  DenseView result = *this;
  std::swap(result.shape[first], result.shape[second]);
  std::swap(result.strides[first], result.strides[second]);
  return result;
}

DenseView DenseView::slice(int dimension, std::int64_t begin, std::int64_t end, std::int64_t step) const {
  const std::size_t d = dimension_of(*this, dimension);
  if (begin < 0 || begin > end || end > shape[d] || step < 1) {
    fail(ErrorCode::invalid_argument, "a view of shape {} has no slice [{}, {}) with step {} of dimension {}",
         shape, begin, end, step, dimension);
  }
  DenseView result = *this;
  if (begin == end) {
    result.shape[d] = 0;
    return result;
  }
  result.data = element(*this, d, begin);
  result.shape[d] = (end - begin - 1) / step + 1;
  result.strides[d] *=
      std::min(step, end - begin);  // a longer step takes one element as well, and may overflow
  return result;
}

DenseView DenseView::operator[](std::int64_t index) const {
  if (shape.empty() || index < 0 || index >= shape[0]) {
    fail(ErrorCode::invalid_argument, "a view of shape {} has no index {}", shape, index);
  }
  return {element(*this, 0, index), dtype, Shape(shape.begin() + 1, shape.end()),
          std::vector<std::int64_t>(strides.begin() + 1, strides.end())};
}

DenseView dense_view(const void* data, Dtype dtype, Shape shape) {
  const std::optional<std::uint64_t> bytes = byte_size(dtype, shape);
  if (bits_of(dtype) % 8 != 0) {
    fail(ErrorCode::invalid_argument, "no view of {}: its elements are not whole bytes", to_string(dtype));
  }
  if (!bytes) {
    fail(ErrorCode::invalid_argument, "no view of shape {}: a size is negative, or the product overflows",
         shape);
  }
  DenseView view{static_cast<const std::byte*>(data), dtype, std::move(shape), {}};
  view.strides.resize(view.shape.size());
  std::int64_t stride = *bytes == 0 ? 0 : 1;  // without elements the other sizes may be too large to multiply
  for (std::size_t d = view.shape.size(); d-- > 0;) {
    view.strides[d] = stride;
    stride *= view.shape[d];
  }
  return view;
}

}  // namespace mxfp4
