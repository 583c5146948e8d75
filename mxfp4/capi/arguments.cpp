#include <optional>

#include "mxfp4/base/context.h"
#include "mxfp4/capi/capi_internal.h"

namespace mxfp4::capi {
namespace {

/// byte_size() of a shape that must have one.
std::size_t checked_size(std::string_view call, Dtype dtype, const Shape& shape) {
  const std::optional<std::uint64_t> bytes = byte_size(dtype, shape);
  if (!bytes) {
    fail(ErrorCode::invalid_argument, "{}: a size of {} is negative, or the product overflows", call,
         to_string(shape));
  }
  return static_cast<std::size_t>(*bytes);
}

}  // namespace

void require(std::string_view call, std::string_view name, const void* pointer) {
  if (pointer == nullptr) fail(ErrorCode::invalid_argument, "{}: {} is null", call, name);
}

void require_bytes(std::string_view call, std::string_view name, const void* pointer, std::size_t bytes,
                   std::size_t needed) {
  if (bytes != needed) {
    fail(ErrorCode::invalid_argument, "{}: {} has {} bytes, but must have {}", call, name, bytes, needed);
  }
  if (needed > 0) require(call, name, pointer);
}

void require_at_least(std::string_view call, std::string_view name, const void* pointer, std::size_t bytes,
                      std::size_t needed) {
  if (bytes < needed) {
    fail(ErrorCode::invalid_argument, "{}: {} has {} bytes, but must have at least {}", call, name, bytes,
         needed);
  }
  if (needed > 0) require(call, name, pointer);
}

int threads_of(std::string_view call, std::int32_t threads) {
  if (threads < 0) fail(ErrorCode::invalid_argument, "{}: threads is {}, below 0", call, threads);
  const int available = available_threads();
  return threads == 0 ? available : std::min<int>(threads, available);
}

Dtype dtype_of(std::string_view call, std::string_view name, mxfp4_dtype dtype) {
  switch (dtype) {
    case MXFP4_F32:
      return Dtype::f32;
    case MXFP4_BF16:
      return Dtype::bf16;
    case MXFP4_F16:
      return Dtype::f16;
  }
  fail(ErrorCode::invalid_argument, "{}: {} is {}, none of F32 (0), BF16 (1), F16 (2)", call, name, dtype);
}

int block_size_of(std::string_view call, std::int32_t block_size) {
  if (block_size == 0) return kBlockSize;
  if (block_size != 32 && block_size != 16) {
    fail(ErrorCode::invalid_argument, "{}: block_size is {}, neither 32 nor 16", call, block_size);
  }
  return block_size;
}

std::size_t dense_bytes(std::string_view call, Dtype dtype, std::int64_t rows, std::int64_t columns,
                        std::int64_t stride) {
  const std::size_t bytes = checked_size(call, dtype, {rows, columns});
  if (bytes == 0 || stride == columns) return bytes;
  const std::size_t before = checked_size(call, dtype, {rows - 1, stride});
  return before + checked_size(call, dtype, {columns});  // each is below 2^61
}

Sizes sizes_of(std::string_view call, std::int64_t rows, std::int64_t columns, int block_size) {
  checked_size(call, Dtype::u8, {rows, columns});
  const std::int64_t blocks = columns / block_size + (columns % block_size != 0);
  return {checked_size(call, Dtype::u8, {rows, blocks, block_size / 2}),
          checked_size(call, Dtype::u8, {rows, blocks})};
}

Mxfp4View view_of(std::string_view call, std::string_view name, const mxfp4_matrix* matrix) {
  require(call, name, matrix);
  constexpr std::size_t first = offsetof(mxfp4_matrix, nibble_order) + sizeof(std::int32_t);
  const mxfp4_matrix given = known_part(call, name, matrix, first);
  if (given.nibble_order != MXFP4_INTERLEAVED && given.nibble_order != MXFP4_SPLIT16) {
    fail(ErrorCode::invalid_argument, "{}: {}->nibble_order is {}, neither interleaved (0) nor split16 (1)",
         call, name, given.nibble_order);
  }
  const int block_size = block_size_of(call, given.block_size);
  const Sizes sizes = sizes_of(call, given.rows, given.columns, block_size);
  require_bytes(call, "codes", given.codes, given.code_bytes, sizes.codes);
  require_bytes(call, "scales", given.scales, given.scale_bytes, sizes.scales);
  return {given.codes,
          given.scales,
          {given.rows, given.columns},
          block_size,
          given.nibble_order == MXFP4_SPLIT16 ? NibbleOrder::split16 : NibbleOrder::interleaved};
}

}  // namespace mxfp4::capi
