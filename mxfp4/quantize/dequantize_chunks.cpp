#include "mxfp4/quantize/dequantize_chunks.h"

#include <algorithm>
#include <vector>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/base/parallel.h"
#include "mxfp4/kernel/ops.h"
#include "mxfp4/quantize/quantize.h"
#include "mxfp4/tensor/view.h"

namespace mxfp4 {
namespace {

constexpr std::int64_t kTileElements = 1 << 18;  // turned by a thread at a time, roughly

std::int64_t bytes_of(Dtype dtype) {
  return bits_of(dtype) / 8;
}

/// Refuses what dequantize() refuses, by asking it for nothing.
void check(const Mxfp4View& t, Dtype dtype, const Context& context) {
  Mxfp4View nothing = t;
  nothing.shape = {0, 1};
  dequantize(nothing, dtype, nullptr, context);
}

/// Part of t's rows as a tensor of its own.
Mxfp4View rows_of(const Mxfp4View& t, std::int64_t begin, std::int64_t end) {
  const std::int64_t blocks = t.blocks_per_row();
  return {t.codes + begin * blocks * (t.block_size / 2),
          t.scales + begin * blocks,
          {end - begin, t.columns()},
          t.block_size,
          t.order};
}

/// The matrices that a tensor's last two dimensions make.
struct Matrices {
  explicit Matrices(const Mxfp4View& t) {
    if (t.shape.size() < 2) {
      fail(ErrorCode::invalid_argument, "dequantize: shape {} has no two dimensions to exchange",
           to_string(t.shape));
    }
    rows = t.shape[t.shape.size() - 2];
    columns = t.columns();
    blocks = t.blocks_per_row();
    count = rows == 0 || columns == 0 ? 0 : t.rows() / rows;
  }
  std::int64_t count, rows, columns, blocks;
};

/// All columns of blocks of all matrices, `per_step` of them at a time.
struct Steps {
  Steps(const Matrices& matrices, std::int64_t most)
      : per_step(std::max<std::int64_t>(most, 1)),
        per_matrix(matrices.blocks == 0 ? 0 : (matrices.blocks + per_step - 1) / per_step),
        count(matrices.count * per_matrix) {}
  std::int64_t per_step, per_matrix, count;
};

}  // namespace

void dequantize_chunks(const Mxfp4View& t, Dtype dtype, std::span<std::byte> buffer, const ElementSink& sink,
                       const Context& context) {
  check(t, dtype, context);
  const std::int64_t columns = t.columns(), rows = columns == 0 ? 0 : t.rows();
  const auto room = static_cast<std::int64_t>(buffer.size()) / bytes_of(dtype);
  if (room < t.block_size && room < columns) {
    fail(ErrorCode::invalid_argument,
         "dequantize: a buffer of {} bytes does not hold a block of {} elements of {}", buffer.size(),
         t.block_size, to_string(dtype));
  }
  const auto give = [&](const Mxfp4View& part, std::int64_t first) {
    dequantize(part, dtype, buffer.data(), context);
    sink(first, buffer.first(static_cast<std::size_t>(element_count(part.shape) * bytes_of(dtype))));
  };
  if (room >= columns) {
    for (std::int64_t begin = 0; begin < rows;) {
      const std::int64_t end = std::min(begin + room / columns, rows);
      give(rows_of(t, begin, end), begin * columns);
      begin = end;
    }
    return;
  }
  const std::int64_t step = room / t.block_size * t.block_size;
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t begin = 0; begin < columns; begin += step) {
      Mxfp4View part = rows_of(t, row, row + 1);
      part.codes += begin / 2;
      part.scales += begin / t.block_size;
      part.shape = {1, std::min(step, columns - begin)};
      give(part, row * columns + begin);
    }
  }
}

void dequantize_turned(const Mxfp4View& t, std::int64_t matrix, std::int64_t first_block, std::int64_t count,
                       Dtype dtype, std::byte* scratch, std::byte* out, Isa isa) {
  const Matrices matrices(t);
  const std::int64_t begin = first_block * t.block_size;
  const std::int64_t width = std::min(begin + count * t.block_size, matrices.columns) - begin;
  for (std::int64_t row = 0; row < matrices.rows; ++row) {
    const std::int64_t block = (matrix * matrices.rows + row) * matrices.blocks + first_block;
    kernel::DequantizeArgs args;
    args.codes = t.codes + block * (t.block_size / 2);
    args.scales = t.scales + block;
    args.rows = 1;
    args.columns = static_cast<std::size_t>(width);
    args.block_size = t.block_size;
    args.order = t.order;
    args.dtype = dtype;
    args.out = scratch + row * width * bytes_of(dtype);
    kernel::cpu_ops(isa).dequantize(args);
  }
  copy_rows(dense_view(scratch, dtype, {matrices.rows, width}).transposed(0, 1), 0, width, out);
}

void dequantize_transposed_chunks(const Mxfp4View& t, Dtype dtype, std::span<std::byte> buffer,
                                  const ElementSink& sink, const Context& context) {
  check(t, dtype, context);
  const Matrices matrices(t);
  const std::int64_t column_bytes = matrices.rows * t.block_size * bytes_of(dtype);  // of blocks
  const std::int64_t most =
      column_bytes == 0 ? 1 : static_cast<std::int64_t>(buffer.size()) / (2 * column_bytes);
  if (matrices.count > 0 && most == 0) {
    fail(ErrorCode::invalid_argument,
         "dequantize: a buffer of {} bytes does not hold {}, two columns of {} blocks of {}", buffer.size(),
         2 * column_bytes, matrices.rows, to_string(dtype));
  }
  const Steps steps(matrices, most);
  std::byte* const turned = buffer.data() + steps.per_step * column_bytes;
  for (std::int64_t step = 0; step < steps.count; ++step) {
    const std::int64_t matrix = step / steps.per_matrix, first = step % steps.per_matrix * steps.per_step;
    const std::int64_t count = std::min(steps.per_step, matrices.blocks - first);
    dequantize_turned(t, matrix, first, count, dtype, buffer.data(), turned, context.isa);
    const std::int64_t begin = first * t.block_size;
    const std::int64_t width = std::min(begin + count * t.block_size, matrices.columns) - begin;
    sink((matrix * matrices.columns + begin) * matrices.rows,
         {turned, static_cast<std::size_t>(width * matrices.rows * bytes_of(dtype))});
  }
}

void dequantize_transposed(const Mxfp4View& t, Dtype dtype, void* out, const Context& context) {
  check(t, dtype, context);
  const Matrices matrices(t);
  const Steps steps(matrices, kTileElements / std::max<std::int64_t>(matrices.rows * t.block_size, 1));
  std::vector<std::vector<std::byte>> scratch(static_cast<std::size_t>(std::max(context.threads, 1)));
  parallel_for(context, static_cast<std::size_t>(steps.count), [&](int worker, std::size_t index) {
    const auto step = static_cast<std::int64_t>(index);
    const std::int64_t matrix = step / steps.per_matrix, first = step % steps.per_matrix * steps.per_step;
    std::vector<std::byte>& tile = scratch[static_cast<std::size_t>(worker)];
    tile.resize(static_cast<std::size_t>(matrices.rows * steps.per_step * t.block_size * bytes_of(dtype)));
    const std::int64_t at = (matrix * matrices.columns + first * t.block_size) * matrices.rows;
    dequantize_turned(t, matrix, first, std::min(steps.per_step, matrices.blocks - first), dtype, tile.data(),
                      static_cast<std::byte*>(out) + at * bytes_of(dtype), context.isa);
  });
}

}  // namespace mxfp4
