// Sums in f32 as the outputs that a caller asked for.
#pragma once

#include <cstddef>
#include <cstdint>

#include "mxfp4/base/parallel.h"
#include "mxfp4/tensor/view.h"

namespace mxfp4 {

/// Whether sums can be made in the outputs themselves.
inline bool holds_floats(Dtype dtype, const void* y) noexcept {
  return dtype == Dtype::f32 && reinterpret_cast<std::uintptr_t>(y) % alignof(float) == 0;
}

/// Writes rows without gaps to y: F32, BF16 or F16.
inline void write_rows(const Context& context, const float* sums, std::size_t rows, std::size_t columns,
                       Dtype dtype, std::byte* y) {
  const std::size_t size = static_cast<std::size_t>(bits_of(dtype)) / 8;
  parallel_for(context, rows, [&](int, std::size_t row) {
    write_f32(sums + row * columns, columns, dtype, y + row * columns * size);
  });
}

}  // namespace mxfp4
