#include <algorithm>
#include <utility>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/kernel/cuda/device/layer.h"
#include "mxfp4/kernel/cuda/device/pack_kernels.h"
#include "mxfp4/kernel/cuda/plain_row.h"

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

/// Keeps what was uploaded of matrix `m`, which could not be packed.
void keep_plain(Gpu& gpu, Upload& upload, const PackSource& source, Projection& projection, std::size_t m,
                std::vector<PlainMatrix>& plain) {
  plain.resize(projection.matrices);
  plain[m].source = source;
  for (Buffer* const of : {upload.codes, upload.scales}) {
    for (int which = 0; which < 2; ++which) {
      if (of[which].bytes() > 0) projection.plain_bytes.push_back(std::exchange(of[which], Buffer()));
    }
  }
  const std::vector<float> ones(projection.packed_rows(), 1.0f);
  gpu.stream.to_device(projection.factors.as<float>() + m * ones.size(), ones.data(),
                       ones.size() * sizeof(float), "setting factors of rows");
  gpu.stream.wait("setting factors of rows");
}

/// A copy on the device.
template <class T>
Buffer uploaded(Gpu& gpu, const std::vector<T>& values, std::string_view what) {
  Buffer buffer(values.size() * sizeof(T));
  gpu.stream.to_device(buffer.as<void>(), values.data(), buffer.bytes(), what);
  gpu.stream.wait(what);
  return buffer;
}

}  // namespace

std::size_t Projection::bytes() const noexcept {
  std::size_t all = weights.bytes() + factors.bytes() + bias.bytes() + plain.bytes();
  for (const Buffer& buffer : plain_bytes) all += buffer.bytes();
  return all;
}

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
  std::vector<PlainMatrix> plain;
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
    if (wide >= 0) keep_plain(gpu, upload, source, projection, m, plain);
    report(first, first.matrices[m]);
    if (second != nullptr) report(*second, second->matrices[m]);
  }
  if (!first.bias.empty() || (second != nullptr && !second->bias.empty())) {
    projection.bias = uploaded(gpu, packed_bias(projection, first, second, source.order), "copying a bias");
  }
  if (!plain.empty()) projection.plain = uploaded(gpu, plain, "listing matrices that are not packed");
  return projection;
}

}  // namespace mxfp4::kernel::cuda
