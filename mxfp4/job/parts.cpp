#include "mxfp4/job/parts.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/kernel/device.h"
#include "mxfp4/quantize/dequantize_chunks.h"

namespace mxfp4::job {
namespace {

// Elements of a unit: small enough for caches and memory bounds, large enough to write and schedule cheaply.
constexpr std::int64_t kUnitElements = 1 << 20;
constexpr std::size_t kUnitsAhead = 4;

std::size_t ceil_div(std::int64_t a, std::int64_t b) {
  return static_cast<std::size_t>((a + b - 1) / b);
}

/// Rows, the dimensions but the last taken together, cut into units.
struct RowUnits {
  explicit RowUnits(const Shape& shape)
      : columns(shape.empty() ? 1 : shape.back()),
        rows(columns == 0 ? 0 : element_count(shape) / columns),
        per_unit(std::max<std::int64_t>(kUnitElements / std::max<std::int64_t>(columns, 1), 1)) {}

  std::size_t count() const { return ceil_div(rows, per_unit); }
  std::int64_t begin(std::size_t unit) const {
    return std::min(static_cast<std::int64_t>(unit) * per_unit, rows);
  }
  std::int64_t most() const { return std::min(per_unit, rows); }

  std::int64_t columns, rows, per_unit;
};

std::size_t element_bytes(const DenseView& view) {
  return static_cast<std::size_t>(bits_of(view.dtype)) / 8;
}

/// Reads a source unit by unit: gives its rows without gaps, in place where they lie so.
class Rows {
 public:
  explicit Rows(const Source& source)
      : source_(source), units_(source.view.shape), contiguous_(source.view.contiguous()) {}

  const RowUnits& units() const noexcept { return units_; }
  std::size_t row_bytes() const {
    return static_cast<std::size_t>(units_.columns) * element_bytes(source_.view);
  }
  /// Scratch that read() needs.
  std::size_t memory() const {
    return contiguous_ ? 0 : static_cast<std::size_t>(units_.most()) * row_bytes();
  }

  const std::byte* read(std::size_t unit, std::byte* scratch) const {
    if (contiguous_) {
      advise(&MappedFile::will_need, unit + kUnitsAhead);
      return source_.view.data + static_cast<std::size_t>(units_.begin(unit)) * row_bytes();
    }
    copy_rows(source_.view, units_.begin(unit), units_.begin(unit + 1), scratch);
    return scratch;
  }

  /// The unit's pages may go. Others may still read some of them, which costs a page fault and nothing else.
  void release(std::size_t unit) const {
    if (contiguous_) {
      advise(&MappedFile::done_with, unit);
    } else if (source_.map != nullptr && source_.view.rank() > 2) {
      // Of a transposed weight every unit touches all pages of its expert, so experts go once their last unit
      // is done.
      const std::int64_t rows_per_index = units_.rows / source_.view.shape[0];
      const std::int64_t first = units_.begin(unit) / rows_per_index,
                         last = units_.begin(unit + 1) / rows_per_index;
      const std::int64_t bytes =
          source_.view.strides[0] * static_cast<std::int64_t>(element_bytes(source_.view));
      if (bytes > 0) {
        source_.map->done_with(
            {source_.view.data + first * bytes, static_cast<std::size_t>((last - first) * bytes)});
      }
    }
  }

 private:
  void advise(void (MappedFile::*advice)(std::span<const std::byte>) const noexcept, std::size_t unit) const {
    if (source_.map == nullptr || unit >= units_.count()) return;
    const std::size_t begin = static_cast<std::size_t>(units_.begin(unit)) * row_bytes();
    const std::size_t end = static_cast<std::size_t>(units_.begin(unit + 1)) * row_bytes();
    (source_.map->*advice)({source_.view.data + begin, end - begin});
  }

  Source source_;
  RowUnits units_;
  bool contiguous_;
};

/// Index of an element, given by row and column of the view, in the tensor as it is stored.
Shape stored_index(const Source& source, std::int64_t row, std::int64_t column) {
  const DenseView& view = source.view;
  std::int64_t offset = column * view.strides.back();
  for (int d = view.rank() - 2; d >= 0; --d) {
    const auto dimension = static_cast<std::size_t>(d);
    offset += row % view.shape[dimension] * view.strides[dimension];
    row /= view.shape[dimension];
  }
  offset += (view.data - source.stored->bytes.data()) / static_cast<std::int64_t>(element_bytes(view));
  Shape index(source.stored->shape.size());
  for (std::size_t d = index.size(); d-- > 0;) {
    index[d] = offset % source.stored->shape[d];
    offset /= source.stored->shape[d];
  }
  return index;
}

[[noreturn]] void refuse_element(const Source& source, std::int64_t row, std::int64_t column,
                                 const std::byte* rows, std::size_t element) {
  float value = 0;
  copy_rows_f32(dense_view(rows, source.view.dtype, {static_cast<std::int64_t>(element) + 1, 1}),
                static_cast<std::int64_t>(element), static_cast<std::int64_t>(element) + 1, &value);
  fail(ErrorCode::corrupt_file,
       "{}: tensor '{}': element {} is {}; --nonfinite nan_block or saturate would let it pass",
       source.map != nullptr ? source.map->path().native() : "input", source.stored->name,
       to_string(stored_index(source, row, column)),
       std::isnan(value) ? "NaN"
       : value > 0       ? "Inf"
                         : "-Inf");
}

}  // namespace

void StatsCollector::record(std::size_t unit, const ErrorStats& stats) {
  ErrorStats counts = stats;
  counts.signal = counts.noise = 0;
  const std::lock_guard lock(mutex_);
  counts_.add(counts);
  if (sums_.size() <= unit) sums_.resize(unit + 1);
  sums_[unit] = {stats.signal, stats.noise};
}

ErrorStats StatsCollector::total() const {
  const std::lock_guard lock(mutex_);
  ErrorStats total = counts_;
  for (const auto& [signal, noise] : sums_) {
    total.signal += signal;
    total.noise += noise;
  }
  return total;
}

Part copy_part(std::string name, const Source& source) {
  const Rows rows(source);
  Part part;
  part.outputs = {{std::move(name), source.view.dtype, source.view.shape}};
  part.units = rows.units().count();
  part.unit_memory = rows.memory();
  part.input_bytes = part.outputs[0].bytes();
  part.run = [rows](std::size_t unit, std::byte* scratch, const Write& write) {
    const RowUnits& units = rows.units();
    const std::byte* const data = rows.read(unit, scratch);
    const std::size_t count = static_cast<std::size_t>(units.begin(unit + 1) - units.begin(unit));
    write(0, static_cast<std::uint64_t>(units.begin(unit)) * rows.row_bytes(),
          {data, count * rows.row_bytes()});
    rows.release(unit);
  };
  return part;
}

Part copy_part(std::string name, const StoredTensor& stored, const MappedFile* map) {
  const auto bytes = static_cast<std::int64_t>(stored.bytes.size());
  Source source{dense_view(stored.bytes.data(), Dtype::u8, {bytes, 1}), &stored, map};
  Part part = copy_part(std::move(name), source);
  part.outputs[0].dtype = stored.dtype;
  part.outputs[0].shape = stored.shape;
  return part;
}

Part quantize_part(safetensors::TensorSpec codes, safetensors::TensorSpec scales, const Source& source,
                   const Recipe& recipe, const Hints& hints, std::shared_ptr<StatsCollector> stats) {
  const Rows rows(source);
  const RowUnits& units = rows.units();
  const auto most = static_cast<std::size_t>(units.most());
  const auto columns = static_cast<std::size_t>(units.columns);
  const std::size_t code_bytes = columns / 2, scale_bytes = columns / kBlockSize;
  // scratch: input rows | codes | scales | reference scales
  const std::size_t codes_at = rows.memory();
  const std::size_t scales_at = codes_at + most * code_bytes;
  const std::size_t reference_at = scales_at + most * scale_bytes;
  Part part;
  part.outputs = {std::move(codes), std::move(scales)};
  part.stats = stats;
  part.units = units.count();
  part.unit_memory = reference_at + (hints.reference.data != nullptr ? most * scale_bytes : 0);
  part.input_bytes = static_cast<std::uint64_t>(source.view.elements()) * element_bytes(source.view);
  part.run = [=](std::size_t unit, std::byte* scratch, const Write& write) {
    const std::int64_t first = rows.units().begin(unit), end = rows.units().begin(unit + 1);
    const auto count = static_cast<std::size_t>(end - first);
    kernel::QuantizeArgs args;
    args.x = rows.read(unit, scratch);
    args.dtype = source.view.dtype;
    args.rows = count;
    args.columns = columns;
    args.recipe = recipe;
    args.codes = reinterpret_cast<std::uint8_t*>(scratch + codes_at);
    args.scales = reinterpret_cast<std::uint8_t*>(scratch + scales_at);
    args.importance = hints.importance;
    args.importance.first_row = static_cast<std::size_t>(first);
    if (hints.reference.data != nullptr) {
      copy_rows(hints.reference, first, end, scratch + reference_at);
      args.reference = reinterpret_cast<const std::uint8_t*>(scratch + reference_at);
    }
    ErrorStats unit_stats;
    args.stats = &unit_stats;
    const std::size_t refused = kernel::quantize_on(Context(), args);
    if (refused != kernel::kNone) {
      refuse_element(source, first + static_cast<std::int64_t>(refused / columns),
                     static_cast<std::int64_t>(refused % columns), static_cast<const std::byte*>(args.x),
                     refused);
    }
    const auto at = static_cast<std::uint64_t>(first);
    write(0, at * code_bytes, {scratch + codes_at, count * code_bytes});
    write(1, at * scale_bytes, {scratch + scales_at, count * scale_bytes});
    stats->record(unit, unit_stats);
    rows.release(unit);
  };
  return part;
}

Part dequantize_part(std::string name, const StoredBlocks& weight, Dtype dtype, bool transposed,
                     const MappedFile* map) {
  const std::size_t bytes = static_cast<std::size_t>(bits_of(dtype)) / 8;
  const std::int64_t columns = weight.columns(), blocks = weight.blocks_per_row();
  const auto done_with = [=](std::int64_t first_row, std::int64_t rows) {
    if (map == nullptr) return;
    const std::int64_t row_bytes = blocks * weight.code_pitch;
    map->done_with({reinterpret_cast<const std::byte*>(weight.codes) + first_row * row_bytes,
                    static_cast<std::size_t>(rows * row_bytes)});
  };
  Part part;
  part.input_bytes = StoredBlocks::scratch_bytes(weight.blocks() * kBlockSize);
  if (!transposed) {
    const RowUnits units(weight.shape);
    const std::size_t most = static_cast<std::size_t>(units.most() * columns) * bytes;
    part.outputs = {{std::move(name), dtype, weight.shape}};
    part.units = units.count();
    part.unit_memory = most + (weight.is_plain() ? 0 : StoredBlocks::scratch_bytes(units.most() * columns));
    part.run = [=](std::size_t unit, std::byte* scratch, const Write& write) {
      const std::int64_t first = units.begin(unit), count = units.begin(unit + 1) - first;
      const Mxfp4View rows = weight.rows(first, count, 1, 0, columns, scratch + most);
      kernel::dequantize_on(Context(),
                            {rows.codes, rows.scales, static_cast<std::size_t>(count),
                             static_cast<std::size_t>(columns), kBlockSize, rows.order, dtype, scratch});
      const std::size_t row_bytes = static_cast<std::size_t>(columns) * bytes;
      write(0, static_cast<std::size_t>(first) * row_bytes,
            {scratch, static_cast<std::size_t>(count) * row_bytes});
      done_with(first, count);
    };
    return part;
  }
  // [E, N, K] to [E, K, N]: a unit expands some blocks of all rows of one expert and turns them round.
  const std::int64_t experts = weight.shape[0], n = weight.shape[1];
  const std::int64_t blocks_per_unit = std::clamp<std::int64_t>(
      kUnitElements / std::max<std::int64_t>(n * kBlockSize, 1), 1, std::max<std::int64_t>(blocks, 1));
  const std::size_t units_per_expert = ceil_div(blocks, blocks_per_unit);
  const std::int64_t tile = n * blocks_per_unit * kBlockSize;
  const std::size_t tile_bytes = static_cast<std::size_t>(tile) * bytes;
  part.outputs = {{std::move(name), dtype, {experts, columns, n}}};
  part.units = static_cast<std::size_t>(experts) * units_per_expert;
  part.unit_memory = 2 * tile_bytes + StoredBlocks::scratch_bytes(tile);
  part.run = [=](std::size_t unit, std::byte* scratch, const Write& write) {
    const auto expert = static_cast<std::int64_t>(unit / units_per_expert);
    const std::int64_t begin =
        static_cast<std::int64_t>(unit % units_per_expert) * blocks_per_unit * kBlockSize;
    const std::int64_t end = std::min(begin + blocks_per_unit * kBlockSize, columns);
    const Mxfp4View some = weight.rows(expert * n, n, 1, begin, end, scratch + 2 * tile_bytes);
    dequantize_turned(some, 0, 0, blocks_per_unit, dtype, scratch, scratch + tile_bytes);
    const std::int64_t row_bytes = n * static_cast<std::int64_t>(bytes);
    write(0, static_cast<std::uint64_t>((expert * columns + begin) * row_bytes),
          {scratch + tile_bytes, static_cast<std::size_t>((end - begin) * row_bytes)});
    if (unit % units_per_expert + 1 == units_per_expert) done_with(expert * n, n);
  };
  return part;
}

Part expand_part(std::string name, const OtherCodesPtr& weight, Dtype dtype) {
  const RowUnits units(weight->shape);
  const std::size_t bytes = static_cast<std::size_t>(bits_of(dtype)) / 8;
  Part part;
  part.outputs = {{std::move(name), dtype, weight->shape}};
  part.units = units.count();
  part.unit_memory = static_cast<std::size_t>(units.most() * units.columns) * sizeof(float);
  for (const StoredTensor* const stored : weight->stored) part.input_bytes += stored->bytes.size();
  part.run = [=](std::size_t unit, std::byte* scratch, const Write& write) {
    const std::int64_t first = units.begin(unit), end = units.begin(unit + 1);
    const auto count = static_cast<std::size_t>((end - first) * units.columns);
    weight->read(first, end, 0, units.columns, reinterpret_cast<float*>(scratch));
    write_f32(reinterpret_cast<const float*>(scratch), count, dtype, scratch);
    write(0, static_cast<std::uint64_t>(first * units.columns) * bytes, {scratch, count * bytes});
  };
  return part;
}

}  // namespace mxfp4::job
