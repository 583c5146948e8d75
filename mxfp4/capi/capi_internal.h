// What the functions of the C interface share: no exception leaves them, and nothing is taken on trust.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/capi/mxfp4.h"
#include "mxfp4/layer/expert_matrices.h"
#include "mxfp4/layer/options.h"
#include "mxfp4/tensor/mxfp4_tensor.h"
#include "mxfp4/tensor/view.h"

namespace mxfp4::capi {

/// The status of the exception in flight, whose message becomes this thread's last error.
mxfp4_status caught() noexcept;

/// Calls body(); its exceptions become statuses.
template <class Body>
mxfp4_status guarded(const Body& body) noexcept {
  try {
    body();
    return MXFP4_OK;
  } catch (...) {
    return caught();
  }
}

// Each of these throws Error invalid_argument; `call` is the function of the C interface, `name` the
// argument.

void require(std::string_view call, std::string_view name, const void* pointer);

/// An array that must have `needed` bytes, or at least so many.
void require_bytes(std::string_view call, std::string_view name, const void* pointer, std::size_t bytes,
                   std::size_t needed);
void require_at_least(std::string_view call, std::string_view name, const void* pointer, std::size_t bytes,
                      std::size_t needed);

/// An array that must have `needed` values.
void require_count(std::string_view call, std::string_view name, const void* pointer, std::size_t count,
                   std::size_t needed);

/// A flag of a caller's struct; throws Error unsupported unless it is 0 or 1.
bool flag_of(std::string_view call, std::string_view name, std::int32_t flag);

/// The threads to run on: 0 means all of this process, which are never exceeded.
int threads_of(std::string_view call, std::int32_t threads);

Dtype dtype_of(std::string_view call, std::string_view name, mxfp4_dtype dtype);

/// 32 or 16.
int block_size_of(std::string_view call, std::int32_t block_size);

/// Bytes of an array whose rows of `columns` elements begin every `stride` of them.
std::size_t dense_bytes(std::string_view call, Dtype dtype, std::int64_t rows, std::int64_t columns,
                        std::int64_t stride);

/// The values of a [rows, columns] array.
std::size_t count_of(std::string_view call, std::int64_t rows, std::int64_t columns);

/// Bytes of codes and scales of a matrix.
struct Sizes {
  std::size_t codes = 0;
  std::size_t scales = 0;
};
Sizes sizes_of(std::string_view call, std::int64_t rows, std::int64_t columns, int block_size);

/// A caller's struct, whose first version had `first` bytes: what an older caller does not have is zero, and
/// what a newer one has must be zero, or throws Error unsupported.
template <class Struct>
Struct known_part(std::string_view call, std::string_view name, const Struct* given, std::size_t first) {
  Struct known{};
  if (given == nullptr) return known;
  const std::size_t size = given->size;
  if (size < first) {
    fail(ErrorCode::invalid_argument, "{}: {}->size is {}, but the struct has at least {} bytes", call, name,
         size, first);
  }
  const char* const bytes = reinterpret_cast<const char*>(given);
  std::memcpy(&known, bytes, std::min(size, sizeof known));
  for (std::size_t i = sizeof known; i < size; ++i) {
    if (bytes[i] == 0) continue;
    fail(ErrorCode::unsupported, "{}: {} has {} bytes, this library knows {} of them, and byte {} is set",
         call, name, size, sizeof known, i);
  }
  return known;
}

Mxfp4View view_of(std::string_view call, std::string_view name, const mxfp4_matrix* matrix);

/// One projection of all experts, one below the other in a caller's arrays.
struct Projection {
  std::string_view name;
  const mxfp4_matrix* matrix;
  std::string bias_name;
  const float* bias;
  std::size_t bias_count;
};
ExpertMatrices matrices_of(std::string_view call, const Projection& given, std::int64_t experts);

LayerOptions layer_options_of(std::string_view call, const mxfp4_linear_options* given);

/// What a layer's forward() is called with.
struct ForwardArguments {
  DenseView x;
  Dtype dtype;  ///< of y
  ForwardOptions options;
};
/// A caller's array of rows.
template <class Pointer>
struct Rows {
  std::int64_t count;
  std::int64_t columns;
  Pointer data;
  std::size_t bytes;
  mxfp4_dtype dtype;
};
ForwardArguments forward_arguments(std::string_view call, const Rows<const void*>& x, const Rows<void*>& y,
                                   const mxfp4_forward_options* given);

}  // namespace mxfp4::capi
