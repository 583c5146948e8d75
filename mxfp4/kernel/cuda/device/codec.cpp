// Rows go through the device in passes, so that its memory does not grow with the tensor.
#include <algorithm>
#include <mutex>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/kernel/cuda/device/codec_kernels.h"
#include "mxfp4/kernel/cuda/device/cuda_device.h"
#include "mxfp4/kernel/cuda/pieces.h"

namespace mxfp4::kernel::cuda {
namespace {

std::size_t bytes_of(Dtype dtype) noexcept {
  return static_cast<std::size_t>(bits_of(dtype)) / 8;
}

/// Memory of one pass.
struct PassMemory {
  std::byte* elements;
  std::uint8_t *codes, *scales;
  unsigned long long* refused;
};

PassMemory lay_out(Pieces& pieces, const RowPasses& passes, std::size_t each) {
  return {pieces.take<std::byte>(passes.rows_each * passes.columns * each),
          pieces.take<std::uint8_t>(passes.rows_each * passes.code_bytes),
          pieces.take<std::uint8_t>(passes.rows_each * passes.blocks), pieces.take<unsigned long long>(1)};
}

PassMemory memory_of(Gpu& gpu, const RowPasses& passes, std::size_t each) {
  Pieces size;
  lay_out(size, passes, each);
  gpu.work.reserve({size.bytes(), 0}, gpu.stream);
  Pieces pieces(gpu.work.block());
  return lay_out(pieces, passes, each);
}

/// Rows that follow each other are quantised as they lie, others line by line.
void launch_lines(const DeviceQuantize& args, StridedLaunch& launch, int multiprocessors,
                  cudaStream_t stream) {
  QuantizeLaunch& of = launch.of;
  const std::size_t each = bytes_of(args.x.dtype), columns = static_cast<std::size_t>(args.x.shape.back());
  if (args.x.contiguous()) {
    of.grid = block_grid(static_cast<std::size_t>(args.x.elements()) / columns, columns, args.block_size,
                         static_cast<int>(each), reinterpret_cast<std::uintptr_t>(of.x));
    launch_quantize(of, multiprocessors, stream);
    return check_launch("quantising");
  }
  const LinePlan plan = line_plan(args.x.shape, args.x.strides);
  launch.lines = plan.each;
  const auto size = static_cast<std::size_t>(args.block_size);
  of.grid.rows = plan.each.count;
  of.grid.columns = columns;
  of.grid.blocks = (columns + size - 1) / size;
  for (const std::int64_t begin : plan.begins) {
    of.x = args.x.data + begin * static_cast<std::int64_t>(each);
    launch_quantize_strided(launch, multiprocessors, stream);
    check_launch("quantising");
    launch.first_line += of.grid.rows;
    of.codes += of.grid.rows * of.grid.blocks * size / 2;
    of.scales += of.grid.rows * of.grid.blocks;
  }
}

}  // namespace

std::size_t quantize(Gpu& gpu, const QuantizeArgs& args) {
  const std::lock_guard lock(gpu.mutex);
  const Current current(gpu.index);
  const std::size_t each = bytes_of(args.dtype);
  const RowPasses passes = row_passes(args.rows, args.columns, args.block_size, each);
  const PassMemory memory = memory_of(gpu, passes, each);
  gpu.stream.fill(memory.refused, 0xFF, sizeof *memory.refused, "clearing the index of a refusal");
  QuantizeLaunch launch;
  launch.x = memory.elements;
  launch.dtype = args.dtype;
  launch.block_size = args.block_size;
  launch.rule = quantize_rule(args.recipe);
  launch.codes = memory.codes;
  launch.scales = memory.scales;
  launch.refused = memory.refused;
  for (std::size_t row = 0; row < passes.rows; row += passes.rows_each) {
    const std::size_t rows = std::min(passes.rows_each, passes.rows - row);
    launch.grid = block_grid(rows, passes.columns, args.block_size, static_cast<int>(each), 0);
    gpu.stream.to_device(memory.elements, static_cast<const std::byte*>(args.x) + row * passes.columns * each,
                         rows * passes.columns * each, "copying elements to the device");
    launch_quantize(launch, gpu.traits.multiprocessors, gpu.stream.get());
    check_launch("quantising");
    gpu.stream.to_host(args.codes + row * passes.code_bytes, launch.codes, rows * passes.code_bytes,
                       "copying codes from the device");
    gpu.stream.to_host(args.scales + row * passes.blocks, launch.scales, rows * passes.blocks,
                       "copying scales from the device");
    unsigned long long refused = 0;
    gpu.stream.to_host(&refused, launch.refused, sizeof refused, "copying the index of a refusal");
    gpu.stream.wait("quantising");
    if (refused != ~0ull) return row * passes.columns + static_cast<std::size_t>(refused);
  }
  return kNone;
}

void dequantize(Gpu& gpu, const DequantizeArgs& args) {
  const std::lock_guard lock(gpu.mutex);
  const Current current(gpu.index);
  const std::size_t each = bytes_of(args.dtype);
  const RowPasses passes = row_passes(args.rows, args.columns, args.block_size, each);
  const PassMemory memory = memory_of(gpu, passes, each);
  DequantizeLaunch launch;
  launch.codes = memory.codes;
  launch.scales = memory.scales;
  launch.block_size = args.block_size;
  launch.split16 = args.order == NibbleOrder::split16;
  launch.dtype = args.dtype;
  launch.out = memory.elements;
  for (std::size_t row = 0; row < passes.rows; row += passes.rows_each) {
    const std::size_t rows = std::min(passes.rows_each, passes.rows - row);
    launch.grid = block_grid(rows, passes.columns, args.block_size, static_cast<int>(each), 0);
    gpu.stream.to_device(memory.codes, args.codes + row * passes.code_bytes, rows * passes.code_bytes,
                         "copying codes to the device");
    gpu.stream.to_device(memory.scales, args.scales + row * passes.blocks, rows * passes.blocks,
                         "copying scales to the device");
    launch_dequantize(launch, gpu.traits.multiprocessors, gpu.stream.get());
    check_launch("dequantising");
    gpu.stream.to_host(static_cast<std::byte*>(args.out) + row * passes.columns * each, launch.out,
                       rows * passes.columns * each, "copying elements from the device");
    gpu.stream.wait("dequantising");
  }
}

std::size_t Queue::quantize(const DeviceQuantize& args) {
  if (args.x.elements() == 0) return kNone;
  const Current current(gpu_->index);
  const std::size_t each = bytes_of(args.x.dtype);
  check_aligned("codes", args.codes, 4);
  check_aligned("elements", args.x.data, each);
  StridedLaunch launch;
  QuantizeLaunch& of = launch.of;
  of.x = args.x.data;
  of.dtype = args.x.dtype;
  of.block_size = args.block_size;
  of.rule = quantize_rule(args.recipe);
  of.codes = args.codes;
  of.scales = args.scales;
  if (of.rule.nonfinite != NonFinite::error) {
    launch_lines(args, launch, gpu_->traits.multiprocessors, stream_.get());
    return kNone;
  }
  if (stream_.capturing()) {
    fail(ErrorCode::invalid_argument,
         "cuda: NonFinite::error waits for the device, which nothing can while a graph is captured");
  }
  unsigned long long refused = ~0ull;
  work_.reserve({sizeof refused, 0}, stream_);
  of.refused = reinterpret_cast<unsigned long long*>(work_.block());
  stream_.to_device(of.refused, &refused, sizeof refused, "clearing the index of a refusal");
  launch_lines(args, launch, gpu_->traits.multiprocessors, stream_.get());
  stream_.to_host(&refused, of.refused, sizeof refused, "copying the index of a refusal");
  stream_.wait("quantising");
  return refused == ~0ull ? kNone : static_cast<std::size_t>(refused);
}

void Queue::dequantize(const DequantizeArgs& args) {
  if (args.rows == 0 || args.columns == 0) return;
  const Current current(gpu_->index);
  const std::size_t each = bytes_of(args.dtype);
  check_aligned("codes", args.codes, 4);
  check_aligned("elements", args.out, each);
  DequantizeLaunch launch;
  launch.codes = args.codes;
  launch.scales = args.scales;
  launch.grid = block_grid(args.rows, args.columns, args.block_size, static_cast<int>(each),
                           reinterpret_cast<std::uintptr_t>(args.out));
  launch.block_size = args.block_size;
  launch.split16 = args.order == NibbleOrder::split16;
  launch.dtype = args.dtype;
  launch.out = args.out;
  launch_dequantize(launch, gpu_->traits.multiprocessors, stream_.get());
  check_launch("dequantising");
}

}  // namespace mxfp4::kernel::cuda
