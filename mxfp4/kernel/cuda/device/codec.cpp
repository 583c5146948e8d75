// Rows go through the device in passes, so that its memory does not grow with the tensor.
#include <algorithm>
#include <mutex>

#include "mxfp4/kernel/cuda/device/codec_kernels.h"
#include "mxfp4/kernel/cuda/device/cuda_device.h"

namespace mxfp4::kernel::cuda {
namespace {

std::size_t bytes_of(Dtype dtype) noexcept {
  return static_cast<std::size_t>(bits_of(dtype)) / 8;
}

/// How rows of elements of `each` bytes go through the device, and memory there for one pass.
RowPasses passes_with_memory(Gpu& gpu, std::size_t rows, std::size_t columns, int block_size,
                             std::size_t each) {
  const RowPasses passes = row_passes(rows, columns, block_size, each);
  gpu.work.elements.grow(passes.rows_each * passes.columns * each);
  gpu.work.codes.grow(passes.rows_each * passes.code_bytes);
  gpu.work.scales.grow(passes.rows_each * passes.blocks);
  return passes;
}

}  // namespace

std::size_t quantize(Gpu& gpu, const QuantizeArgs& args) {
  const std::lock_guard lock(gpu.mutex);
  const Current current(gpu.index);
  const std::size_t each = bytes_of(args.dtype);
  const RowPasses passes = passes_with_memory(gpu, args.rows, args.columns, args.block_size, each);
  gpu.work.refused.grow(sizeof(unsigned long long));
  gpu.stream.fill(gpu.work.refused.as<void>(), 0xFF, sizeof(unsigned long long),
                  "clearing the index of a refusal");
  QuantizeLaunch launch;
  launch.x = gpu.work.elements.as<void>();
  launch.dtype = args.dtype;
  launch.block_size = args.block_size;
  launch.rule = quantize_rule(args.recipe);
  launch.codes = gpu.work.codes.as<std::uint8_t>();
  launch.scales = gpu.work.scales.as<std::uint8_t>();
  launch.refused = gpu.work.refused.as<unsigned long long>();
  for (std::size_t row = 0; row < passes.rows; row += passes.rows_each) {
    const std::size_t rows = std::min(passes.rows_each, passes.rows - row);
    launch.grid = block_grid(rows, passes.columns, args.block_size, static_cast<int>(each), 0);
    gpu.stream.to_device(gpu.work.elements.as<void>(),
                         static_cast<const std::byte*>(args.x) + row * passes.columns * each,
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
  const RowPasses passes = passes_with_memory(gpu, args.rows, args.columns, args.block_size, each);
  DequantizeLaunch launch;
  launch.codes = gpu.work.codes.as<std::uint8_t>();
  launch.scales = gpu.work.scales.as<std::uint8_t>();
  launch.block_size = args.block_size;
  launch.split16 = args.order == NibbleOrder::split16;
  launch.dtype = args.dtype;
  launch.out = gpu.work.elements.as<void>();
  for (std::size_t row = 0; row < passes.rows; row += passes.rows_each) {
    const std::size_t rows = std::min(passes.rows_each, passes.rows - row);
    launch.grid = block_grid(rows, passes.columns, args.block_size, static_cast<int>(each), 0);
    gpu.stream.to_device(gpu.work.codes.as<void>(), args.codes + row * passes.code_bytes,
                         rows * passes.code_bytes, "copying codes to the device");
    gpu.stream.to_device(gpu.work.scales.as<void>(), args.scales + row * passes.blocks, rows * passes.blocks,
                         "copying scales to the device");
    launch_dequantize(launch, gpu.traits.multiprocessors, gpu.stream.get());
    check_launch("dequantising");
    gpu.stream.to_host(static_cast<std::byte*>(args.out) + row * passes.columns * each, launch.out,
                       rows * passes.columns * each, "copying elements from the device");
    gpu.stream.wait("dequantising");
  }
}

}  // namespace mxfp4::kernel::cuda
