#include <algorithm>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/kernel/cuda/device/layer.h"
#include "mxfp4/kernel/cuda/device/pack_kernels.h"

namespace mxfp4::kernel::cuda {
namespace {

/// A matrix's codes and scales on the device for as long as it is packed.
struct Upload {
  Buffer codes[2], scales[2];

  void take(Gpu& gpu, const Mxfp4View& view, int which, PackSource& source) {
    const auto blocks = static_cast<std::size_t>(view.blocks());
    codes[which].grow(blocks * 16);
    scales[which].grow(blocks);
    gpu.stream.to_device(codes[which].as<void>(), view.codes, blocks * 16, "copying codes of a weight");
    gpu.stream.to_device(scales[which].as<void>(), view.scales, blocks, "copying scales of a weight");
    source.codes[which] = codes[which].as<std::uint8_t>();
    source.scales[which] = scales[which].as<std::uint8_t>();
    source.nibbles[which] = view.order;
  }
};

void report(const DeviceMatrices& matrices, const Mxfp4View& view) {
  if (!matrices.done_with) return;
  matrices.done_with({view.codes, static_cast<std::size_t>(view.code_bytes())});
  matrices.done_with({view.scales, static_cast<std::size_t>(view.scale_bytes())});
}

std::vector<float> packed_bias(const Projection& projection, const DeviceMatrices& first,
                               const DeviceMatrices* second, RowOrder order) {
  std::vector<float> bias(projection.matrices * projection.packed_rows());
  const DeviceMatrices* const all[] = {&first, second};
  for (std::size_t m = 0; m < projection.matrices; ++m) {
    for (std::size_t p = 0; p < projection.packed_rows(); ++p) {
      const RowSource row = row_source(p, order);
      const DeviceMatrices* const from = all[row.matrix];
      if (from->bias.empty() || row.row >= from->rows()) continue;
      bias[m * projection.packed_rows() + p] = from->bias[m * from->rows() + row.row];
    }
  }
  return bias;
}

}  // namespace

Projection make_projection(Gpu& gpu, const DeviceMatrices& first, const DeviceMatrices* second, bool gated) {
  if (first.columns() == 0) fail(ErrorCode::unsupported, "cuda: a weight without columns");
  PackLaunch launch = {};
  PackSource& source = launch.source;
  source.order = !gated ? RowOrder::plain : second == nullptr ? RowOrder::alternate : RowOrder::separate;
  source.units = source.order == RowOrder::alternate ? first.rows() / 2 : first.rows();
  source.blocks = (first.columns() + 31) / 32;
  Projection projection;
  projection.matrices = first.matrices.size();
  projection.units = source.units;
  projection.columns = first.columns();
  projection.tiles = tile_grid(packed_rows(source.units, source.order), source.blocks * 32);
  const std::size_t rows = projection.packed_rows();
  projection.weights = Buffer(projection.matrices * projection.tiles.bytes());
  projection.factors = Buffer(projection.matrices * rows * sizeof(float));
  Upload upload;
  Buffer exponents(rows * sizeof(std::int16_t)), wide_row(sizeof(int));
  launch.tiles = projection.tiles;
  launch.exponents = exponents.as<std::int16_t>();
  launch.wide_row = wide_row.as<int>();
  for (std::size_t m = 0; m < projection.matrices; ++m) {
    upload.take(gpu, first.matrices[m], 0, source);
    if (second != nullptr) upload.take(gpu, second->matrices[m], 1, source);
    launch.out = projection.weights.as<std::uint8_t>() + m * projection.tiles.bytes();
    launch.factors = projection.factors.as<float>() + m * rows;
    gpu.stream.fill(launch.wide_row, 0xFF, sizeof(int), "packing a weight");  // -1
    if (rows > 0) launch_pack(launch, gpu.stream.get());
    check_launch("packing a weight");
    int wide = -1;
    gpu.stream.to_host(&wide, launch.wide_row, sizeof wide, "packing a weight");
    gpu.stream.wait("packing a weight");
    if (wide >= 0) {
      fail(ErrorCode::unsupported, "cuda: matrix {}, row {}: its scales lie more than 2^133 apart", m,
           row_source(static_cast<std::size_t>(wide), source.order).row);
    }
    report(first, first.matrices[m]);
    if (second != nullptr) report(*second, second->matrices[m]);
  }
  if (!first.bias.empty() || (second != nullptr && !second->bias.empty())) {
    const std::vector<float> bias = packed_bias(projection, first, second, source.order);
    projection.bias = Buffer(bias.size() * sizeof(float));
    gpu.stream.to_device(projection.bias.as<void>(), bias.data(), projection.bias.bytes(), "copying a bias");
    gpu.stream.wait("copying a bias");
  }
  return projection;
}

}  // namespace mxfp4::kernel::cuda
