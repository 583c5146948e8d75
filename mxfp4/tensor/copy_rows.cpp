#include <algorithm>
#include <cstring>
#include <utility>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/codec/float16.h"
#include "mxfp4/tensor/view.h"

namespace mxfp4 {
namespace {

// Two dimensions of a view; strides in elements.
struct Plane {
  const std::byte* data;
  std::int64_t rows, columns;
  std::int64_t row_stride, column_stride;
};

// Vectors that every machine has.
template <class T>
struct Lanes {
  static constexpr int kCount = 16 / sizeof(T);
  using Vector [[gnu::vector_size(16)]] = T;

  // a[first] b[first] a[first + 1] b[first + 1] ...
  template <int first>
  static Vector zip(Vector a, Vector b) noexcept {
    return zip<first>(a, b, std::make_integer_sequence<int, kCount>());
  }
  template <int first, int... lane>
  static Vector zip(Vector a, Vector b, std::integer_sequence<int, lane...>) noexcept {
    return __builtin_shufflevector(a, b, (first + lane / 2 + lane % 2 * kCount)...);
  }
};

// Transposes a square of n x n elements, n the lanes of a vector. A round zips row i with row i + n / 2: an
// element's row and lane number, written one behind the other in binary, are rotated by one bit. After
// log2(n) rounds the two have changed places.
template <class T, int in_stride, int out_stride>
void transpose_square(const T* in, T* out) noexcept {
  constexpr int n = Lanes<T>::kCount;
  typename Lanes<T>::Vector rows[n], zipped[n];
  for (int i = 0; i < n; ++i) std::memcpy(&rows[i], in + i * in_stride, sizeof rows[i]);
  for (int round = 1; round < n; round *= 2) {
    for (int i = 0; i < n / 2; ++i) {
      zipped[2 * i] = Lanes<T>::template zip<0>(rows[i], rows[i + n / 2]);
      zipped[2 * i + 1] = Lanes<T>::template zip<n / 2>(rows[i], rows[i + n / 2]);
    }
    std::copy(zipped, zipped + n, rows);
  }
  for (int i = 0; i < n; ++i) std::memcpy(out + i * out_stride, &rows[i], sizeof rows[i]);
}

// A tile of a transposed view takes two cache lines of each of its columns, which lie in rows of the source,
// and gives one to each of its own rows.
template <class T>
struct Tile {
  static constexpr int kRows = 128 / sizeof(T);
  static constexpr int kColumns = 64 / sizeof(T);

  T columns[kColumns][kRows] = {};
  T rows[kRows][kColumns];

  // Reads a plane that is no larger than a tile. Its columns are gathered before they are transposed because
  // their stride is often one that maps all of them to the same few sets of the cache.
  void read(const Plane& plane) noexcept {
    for (int c = 0; c < plane.columns; ++c) {
      const std::byte* const column = plane.data + c * plane.column_stride * kSize;
      if (plane.row_stride == 1 && plane.rows == kRows) {
        std::memcpy(columns[c], column, sizeof columns[c]);
      } else {
        for (int r = 0; r < plane.rows; ++r) {
          std::memcpy(&columns[c][r], column + r * plane.row_stride * kSize, sizeof(T));
        }
      }
    }
    for (int r = 0; r < kRows; r += Lanes<T>::kCount) {
      for (int c = 0; c < kColumns; c += Lanes<T>::kCount) {
        transpose_square<T, kRows, kColumns>(&columns[c][r], &rows[r][c]);
      }
    }
  }

  static constexpr std::int64_t kSize = sizeof(T);
};

// Where tile number `index` of `size` elements begins in `whole`. The last one reaches back over the one
// before it, to be a whole one.
std::int64_t tile_begin(std::int64_t index, std::int64_t size, std::int64_t whole) noexcept {
  return std::max<std::int64_t>(std::min(index * size, whole - size), 0);
}

// Calls emit(elements, count, index) for runs of a plane's rows; `index` is the first one's in the plane.
template <class T, class Emit>
void read_plane(const Plane& plane, const Emit& emit) {
  constexpr std::int64_t kSize = sizeof(T), kRows = Tile<T>::kRows, kColumns = Tile<T>::kColumns;
  if (plane.column_stride == 1) {
    for (std::int64_t r = 0; r < plane.rows; ++r) {
      emit(plane.data + r * plane.row_stride * kSize, plane.columns, r * plane.columns);
    }
    return;
  }
  Tile<T> tile;
  for (std::int64_t i = 0; i * kColumns < plane.columns; ++i) {
    const std::int64_t c = tile_begin(i, kColumns, plane.columns);
    for (std::int64_t j = 0; j * kRows < plane.rows; ++j) {
      const std::int64_t r = tile_begin(j, kRows, plane.rows);
      const Plane part{plane.data + (r * plane.row_stride + c * plane.column_stride) * kSize,
                       std::min(plane.rows, kRows), std::min(plane.columns, kColumns), plane.row_stride,
                       plane.column_stride};
      tile.read(part);
      for (std::int64_t row = 0; row < part.rows; ++row) {
        emit(reinterpret_cast<const std::byte*>(tile.rows[row]), part.columns, (r + row) * plane.columns + c);
      }
    }
  }
}

// Calls emit(elements, count, index) for runs of rows [begin, end); `index` is the first one's among them.
template <class T, class Emit>
void read_rows(const DenseView& view, std::int64_t begin, std::int64_t end, const Emit& emit) {
  constexpr std::int64_t kSize = sizeof(T);
  const int rank = view.rank();
  const std::int64_t columns = rank < 1 ? 1 : view.shape[rank - 1];
  if (begin == end || columns == 0) return;
  if (view.contiguous()) {
    emit(view.data + begin * columns * kSize, (end - begin) * columns, 0);
    return;
  }
  const std::int64_t rows = rank < 2 ? 1 : view.shape[rank - 2];
  const std::int64_t row_stride = rank < 2 ? 0 : view.strides[rank - 2];
  for (std::int64_t row = begin; row < end;) {
    std::int64_t offset = row % rows * row_stride, outer = row / rows;
    for (int d = rank - 3; d >= 0; --d) {
      offset += outer % view.shape[d] * view.strides[d];
      outer /= view.shape[d];
    }
    const std::int64_t count = std::min(rows - row % rows, end - row);
    const Plane plane{view.data + offset * kSize, count, columns, row_stride, view.strides[rank - 1]};
    read_plane<T>(plane, [&](const std::byte* elements, std::int64_t n, std::int64_t index) {
      emit(elements, n, (row - begin) * columns + index);
    });
    row += count;
  }
}

template <class T>
void copy(const DenseView& view, std::int64_t begin, std::int64_t end, void* out) {
  auto* const to = static_cast<std::byte*>(out);
  read_rows<T>(view, begin, end, [to](const std::byte* elements, std::int64_t count, std::int64_t index) {
    constexpr std::size_t kSize = sizeof(T);
    std::memcpy(to + static_cast<std::size_t>(index) * kSize, elements,
                static_cast<std::size_t>(count) * kSize);
  });
}

template <float (*to_f32)(std::uint16_t) noexcept>
void convert(const DenseView& view, std::int64_t begin, std::int64_t end, float* out) {
  using Bits = std::uint16_t;
  read_rows<Bits>(view, begin, end, [out](const std::byte* elements, std::int64_t count, std::int64_t index) {
    for (std::int64_t i = 0; i < count; ++i) {
      Bits bits;
      std::memcpy(&bits, elements + i * 2, sizeof bits);
      out[index + i] = to_f32(bits);
    }
  });
}

void check_rows(const DenseView& view, std::int64_t begin, std::int64_t end) {
  if (!view.device.is_cpu()) {
    fail(ErrorCode::invalid_argument, "a view of what lies on {} cannot be read on cpu",
         to_string(view.device));
  }
  const std::size_t outer = view.shape.empty() ? 0 : view.shape.size() - 1;
  if (begin < 0 || begin > end || end > element_count(std::span(view.shape).first(outer))) {
    fail(ErrorCode::invalid_argument, "a view of shape {} has no rows [{}, {})", view.shape, begin, end);
  }
}

}  // namespace

void copy_rows(const DenseView& view, std::int64_t begin, std::int64_t end, void* out) {
  check_rows(view, begin, end);
  switch (bits_of(view.dtype)) {
    case 8:
      return copy<std::uint8_t>(view, begin, end, out);
    case 16:
      return copy<std::uint16_t>(view, begin, end, out);
    case 32:
      return copy<std::uint32_t>(view, begin, end, out);
    case 64:
      return copy<std::uint64_t>(view, begin, end, out);
    default:
      fail(ErrorCode::invalid_argument, "cannot copy rows of {}: its elements are not whole bytes",
           to_string(view.dtype));
  }
}

void copy_rows_f32(const DenseView& view, std::int64_t begin, std::int64_t end, float* out) {
  check_rows(view, begin, end);
  switch (view.dtype) {
    case Dtype::f32:
      return copy_rows(view, begin, end, out);
    case Dtype::bf16:
      return convert<bf16_to_f32>(view, begin, end, out);
    case Dtype::f16:
      return convert<f16_to_f32>(view, begin, end, out);
    default:
      fail(ErrorCode::invalid_argument, "cannot read {} as F32; F32, BF16 and F16 can be",
           to_string(view.dtype));
  }
}

void write_f32(const float* from, std::size_t count, Dtype dtype, std::byte* out) noexcept {
  if (dtype == Dtype::f32) {
    if (count > 0) std::memmove(out, from, count * sizeof(float));
    return;
  }
  for (std::size_t i = 0; i < count; ++i) {  // forwards: what is written is no longer than what was read
    const std::uint16_t half = dtype == Dtype::bf16 ? f32_to_bf16(from[i]) : f32_to_f16(from[i]);
    std::memcpy(out + i * sizeof half, &half, sizeof half);
  }
}

}  // namespace mxfp4
