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

Activation activation_of(std::string_view call, std::int32_t activation) {
  switch (activation) {
    case MXFP4_EXACT:
      return Activation::exact;
    case MXFP4_INT8:
      return Activation::int8;
    case MXFP4_MXFP8:
      return Activation::mxfp8;
  }
  fail(ErrorCode::invalid_argument, "{}: options->activation is {}, none of exact (0), int8 (1), mxfp8 (2)",
       call, activation);
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

void require_count(std::string_view call, std::string_view name, const void* pointer, std::size_t count,
                   std::size_t needed) {
  if (count != needed) {
    fail(ErrorCode::invalid_argument, "{}: {} has {} values, but must have {}", call, name, count, needed);
  }
  if (needed > 0) require(call, name, pointer);
}

bool flag_of(std::string_view call, std::string_view name, std::int32_t flag) {
  if (flag == 0 || flag == 1) return flag == 1;
  fail(ErrorCode::unsupported, "{}: {} is {}, neither 0 nor 1", call, name, flag);
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

std::size_t count_of(std::string_view call, std::int64_t rows, std::int64_t columns) {
  return dense_bytes(call, Dtype::f32, rows, columns, columns) / sizeof(float);
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

ExpertMatrices matrices_of(std::string_view call, const Projection& given, std::int64_t experts) {
  Mxfp4View view = view_of(call, given.name, given.matrix);
  const std::int64_t rows = view.shape[0];
  if (experts < 1 || rows < experts || rows % experts != 0) {
    fail(ErrorCode::invalid_argument, "{}: {}->rows is {}, which {} experts cannot share", call, given.name,
         rows, experts);
  }
  view.shape = {experts, rows / experts, view.shape[1]};
  if (given.bias_count == 0) return stacked(view);
  require_count(call, given.bias_name, given.bias, given.bias_count, static_cast<std::size_t>(rows));
  return stacked(view, dense_view(given.bias, Dtype::f32, {experts, rows / experts}));
}

LayerOptions layer_options_of(std::string_view call, const mxfp4_linear_options* given) {
  constexpr std::size_t first = offsetof(mxfp4_linear_options, in_place) + sizeof(std::int32_t);
  const mxfp4_linear_options known = known_part(call, "options", given, first);
  LayerOptions options;
  options.pack = !flag_of(call, "options->in_place", known.in_place);
  options.context.threads = threads_of(call, known.threads);
  return options;
}

ForwardArguments forward_arguments(std::string_view call, const Rows<const void*>& x, const Rows<void*>& y,
                                   const mxfp4_forward_options* given) {
  constexpr std::size_t first = offsetof(mxfp4_forward_options, threads) + sizeof(std::int32_t);
  const mxfp4_forward_options known = known_part(call, "options", given, first);
  const ForwardOptions options{activation_of(call, known.activation), threads_of(call, known.threads)};
  if (known.x_stride < 0) {
    fail(ErrorCode::invalid_argument, "{}: options->x_stride is {}, below 0", call, known.x_stride);
  }
  const std::int64_t stride = known.x_stride == 0 ? x.columns : known.x_stride;
  const Dtype from = dtype_of(call, "x_dtype", x.dtype), to = dtype_of(call, "y_dtype", y.dtype);
  require_at_least(call, "x", x.data, x.bytes, dense_bytes(call, from, x.count, x.columns, stride));
  require_bytes(call, "y", y.data, y.bytes, dense_bytes(call, to, y.count, y.columns, y.columns));
  return {{static_cast<const std::byte*>(x.data), from, {x.count, x.columns}, {stride, 1}}, to, options};
}

}  // namespace mxfp4::capi
