#include "mxfp4/quantize/quantize.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/base/parallel.h"
#include "mxfp4/kernel/device.h"
#include "mxfp4/kernel/ops.h"

namespace mxfp4 {
namespace {

/// Elements of a unit of work, roughly. Units follow from the shape alone, so that sums over them do not
/// depend on the number of threads.
constexpr std::int64_t kUnitElements = 1 << 20;

/// Bytes of a result that no cache would keep for its reader.
constexpr std::int64_t kPastCaches = 64 << 20;

/// Rows of equal length, cut into units of whole rows.
class RowUnits {
 public:
  RowUnits(std::int64_t rows, std::int64_t columns) noexcept
      : rows_(columns == 0 ? 0 : rows),
        per_unit_(std::max<std::int64_t>(kUnitElements / std::max<std::int64_t>(columns, 1), 1)) {}

  std::size_t count() const noexcept { return static_cast<std::size_t>((rows_ + per_unit_ - 1) / per_unit_); }
  std::size_t begin(std::size_t unit) const noexcept { return unit * static_cast<std::size_t>(per_unit_); }
  std::size_t end(std::size_t unit) const noexcept {
    return std::min(begin(unit + 1), static_cast<std::size_t>(rows_));
  }

 private:
  std::int64_t rows_, per_unit_;
};

std::size_t bytes_of(Dtype dtype) {
  return static_cast<std::size_t>(bits_of(dtype)) / 8;
}

void check_isa(const char* verb, const Context& context) {
  if (!supported(context.isa)) {
    fail(ErrorCode::unsupported, "{}: this machine cannot run {}", verb, to_string(context.isa));
  }
}

void check_dtype(const char* verb, Dtype dtype) {
  if (!is_dense_float(dtype)) {
    fail(ErrorCode::invalid_argument, "{}: dtype {} is none of F32, BF16, F16", verb, to_string(dtype));
  }
}

/// What is read lies where the call computes.
void check_place(const char* verb, Device there, const DeviceQueue* queue) {
  const Device device = queue == nullptr ? Device{} : queue->device();
  if (there == device) return;
  fail(ErrorCode::invalid_argument, "{}: what is given lies on {}, and the call is for tensors on {}", verb,
       to_string(there), to_string(device));
}

void check_block_size(const char* verb, int block_size) {
  if (block_size != 32 && block_size != 16) {
    fail(ErrorCode::invalid_argument, "{}: block size {} is neither 32 nor 16", verb, block_size);
  }
}

/// A dimension's index from 0, of one that may count from the last.
int checked_axis(const DenseView& x, int axis) {
  if (axis < -x.rank() || axis >= x.rank()) {
    fail(ErrorCode::invalid_argument, "quantize: shape {} has no axis {}", to_string(x.shape), axis);
  }
  return axis < 0 ? axis + x.rank() : axis;
}

/// The same elements with `axis` moved to the end.
DenseView axis_last(DenseView x, int axis) {
  std::rotate(x.shape.begin() + axis, x.shape.begin() + axis + 1, x.shape.end());
  std::rotate(x.strides.begin() + axis, x.strides.begin() + axis + 1, x.strides.end());
  return x;
}

/// Of the element in `row` and `column` of axis_last(x, axis).
Shape index_of(const DenseView& x, int axis, std::int64_t row, std::int64_t column) {
  Shape index(x.shape.size());
  for (int d = x.rank() - 1; d >= 0; --d) {
    const auto dimension = static_cast<std::size_t>(d);
    index[dimension] = d == axis ? column : row % x.shape[dimension];
    if (d != axis) row /= x.shape[dimension];
  }
  return index;
}

[[noreturn]] void refuse_element(const DenseView& x, const Shape& index) {
  DenseView element = x;
  for (std::size_t d = 0; d < index.size(); ++d)
    element.data += index[d] * x.strides[d] * static_cast<std::int64_t>(bytes_of(x.dtype));
  element.shape.clear();
  element.strides.clear();
  float value = 0;
  copy_rows_f32(element, 0, 1, &value);
  fail(ErrorCode::invalid_argument, "quantize: element {} is {}", to_string(index),
       std::isnan(value)      ? "NaN"
       : std::isfinite(value) ? "infinite when rounded to BF16"
       : value > 0            ? "Inf"
                              : "-Inf");
}

/// The weights of the first unit's rows; those of others begin at another row.
kernel::ColumnWeights weights_of(const QuantizeOptions& options, const Mxfp4View& layout) {
  const std::span<const float> values = options.importance;
  if (values.empty()) return {};
  if (options.recipe.scale != ScaleRule::optimal) {
    fail(ErrorCode::invalid_argument, "quantize: an importance needs the rule optimal, not {}",
         info(options.recipe.scale).name);
  }
  const auto count = static_cast<std::int64_t>(values.size());
  const std::int64_t columns = layout.columns(), experts = layout.shape.size() > 2 ? layout.shape[0] : 1;
  if (count != columns && count != experts * columns) {
    fail(ErrorCode::invalid_argument, "quantize: an importance of {} values fits no shape {}", count,
         to_string(layout.shape));
  }
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (std::isfinite(values[i]) && values[i] >= 0) continue;
    fail(ErrorCode::invalid_argument, "quantize: importance {} is {}, but it must be finite and not negative",
         i, values[i]);
  }
  return {values.data(), count == columns ? 0 : static_cast<std::size_t>(layout.rows() / experts), 0};
}

void quantize_in_queue(const DenseView& x, int axis, std::uint8_t* codes, std::uint8_t* scales,
                       const QuantizeOptions& options, const ErrorStats* stats) {
  const DenseView view = axis_last(x, axis);
  const kernel::QuantizeArgs asked{.recipe = options.recipe, .reference = options.reference};
  if (!kernel::ComputeDevice::quantizes(asked) || !options.importance.empty() || stats != nullptr) {
    fail(ErrorCode::unsupported,
         "quantize: x lies on {}, where there are no recipes with an origin, references, importance or "
         "statistics",
         to_string(x.device));
  }
  const std::size_t refused =
      options.queue->quantize({view, options.block_size, options.recipe, codes, scales});
  if (refused == kernel::kNone) return;
  const auto columns = static_cast<std::size_t>(view.shape.back());
  fail(ErrorCode::invalid_argument, "quantize: element {} is NaN or infinite",
       to_string(index_of(x, axis, static_cast<std::int64_t>(refused / columns),
                          static_cast<std::int64_t>(refused % columns))));
}

}  // namespace

Mxfp4Tensor quantize(const DenseView& x, const QuantizeOptions& options, ErrorStats* stats) {
  check_block_size("quantize", options.block_size);
  check_place("quantize", {}, options.queue);
  Mxfp4Tensor result;
  result.shape = axis_last(x, checked_axis(x, options.axis)).shape;
  result.block_size = options.block_size;
  result.codes.resize(static_cast<std::size_t>(result.view().code_bytes()));
  result.scales.resize(static_cast<std::size_t>(result.view().scale_bytes()));
  quantize_into(x, result.codes.data(), result.scales.data(), options, stats);
  return result;
}

void quantize_into(const DenseView& x, std::uint8_t* codes, std::uint8_t* scales,
                   const QuantizeOptions& options, ErrorStats* stats) {
  check_dtype("quantize", x.dtype);
  check_block_size("quantize", options.block_size);
  check_isa("quantize", options.context);
  check_place("quantize", x.device, options.queue);
  const int axis = checked_axis(x, options.axis);
  if (options.queue != nullptr) return quantize_in_queue(x, axis, codes, scales, options, stats);
  const DenseView view = axis_last(x, axis);
  const bool contiguous = view.contiguous();
  const Mxfp4View layout{codes, scales, view.shape, options.block_size};

  const std::size_t columns = static_cast<std::size_t>(layout.columns());
  const std::size_t blocks = static_cast<std::size_t>(layout.blocks_per_row());
  const std::size_t row_bytes = columns * bytes_of(view.dtype);
  const kernel::ColumnWeights weights = weights_of(options, layout);
  const RowUnits units(layout.rows(), layout.columns());
  std::vector<ErrorStats> unit_stats(stats == nullptr ? 0 : units.count());
  std::vector<std::vector<std::byte>> gathered(
      static_cast<std::size_t>(std::max(options.context.threads, 1)));

  parallel_for(options.context, units.count(), [&](int worker, std::size_t unit) {
    const std::size_t begin = units.begin(unit), end = units.end(unit);
    kernel::QuantizeArgs args;
    args.x = view.data + begin * row_bytes;
    if (!contiguous) {
      std::vector<std::byte>& rows = gathered[static_cast<std::size_t>(worker)];
      rows.resize((end - begin) * row_bytes);
      copy_rows(view, static_cast<std::int64_t>(begin), static_cast<std::int64_t>(end), rows.data());
      args.x = rows.data();
    }
    args.dtype = view.dtype;
    args.rows = end - begin;
    args.columns = columns;
    args.block_size = options.block_size;
    args.recipe = options.recipe;
    args.reference = options.reference == nullptr ? nullptr : options.reference + begin * blocks;
    args.importance = weights;
    args.importance.first_row = begin;
    args.codes = codes + begin * blocks * static_cast<std::size_t>(options.block_size / 2);
    args.scales = scales + begin * blocks;
    args.stats = stats == nullptr ? nullptr : &unit_stats[unit];
    args.streaming = layout.code_bytes() > kPastCaches;
    const std::size_t refused = kernel::quantize_on(options.context, args);
    if (refused != kernel::kNone) {
      refuse_element(x, index_of(x, axis, static_cast<std::int64_t>(begin + refused / columns),
                                 static_cast<std::int64_t>(refused % columns)));
    }
  });
  for (const ErrorStats& unit : unit_stats) stats->add(unit);
}

void dequantize(const Mxfp4View& t, Dtype dtype, void* out, const Context& context, DeviceQueue* queue) {
  check_dtype("dequantize", dtype);
  check_block_size("dequantize", t.block_size);
  if (t.order == NibbleOrder::split16 && t.block_size != 32) {
    fail(ErrorCode::invalid_argument, "dequantize: split16 codes come in blocks of 32, not {}", t.block_size);
  }
  check_place("dequantize", t.device, queue);
  if (queue != nullptr) {
    return queue->dequantize({t.codes, t.scales, static_cast<std::size_t>(t.rows()),
                              static_cast<std::size_t>(t.columns()), t.block_size, t.order, dtype, out});
  }
  check_isa("dequantize", context);
  const std::size_t columns = static_cast<std::size_t>(t.columns());
  const std::size_t blocks = static_cast<std::size_t>(t.blocks_per_row());
  const RowUnits units(t.rows(), t.columns());
  parallel_for(context, units.count(), [&](int, std::size_t unit) {
    const std::size_t begin = units.begin(unit);
    kernel::DequantizeArgs args;
    args.codes = t.codes + begin * blocks * static_cast<std::size_t>(t.block_size / 2);
    args.scales = t.scales + begin * blocks;
    args.rows = units.end(unit) - begin;
    args.columns = columns;
    args.block_size = t.block_size;
    args.order = t.order;
    args.dtype = dtype;
    args.out = static_cast<std::byte*>(out) + begin * columns * bytes_of(dtype);
    args.streaming = t.code_bytes() * (2 * bits_of(dtype) / 8) > kPastCaches;
    kernel::dequantize_on(context, args);
  });
}

}  // namespace mxfp4
