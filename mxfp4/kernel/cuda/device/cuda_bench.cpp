// Kernels of the CUDA backend against the bandwidth of a copy in the same run. One line for each: name, time,
// GB/s, share of the copy. Products rotate over copies of the weight that no cache holds.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "mxfp4/kernel/cuda/device/codec_kernels.h"
#include "mxfp4/kernel/cuda/device/layer.h"
#include "mxfp4/kernel/cuda/device/product_kernels.h"

namespace mxfp4::kernel::cuda {
namespace {

/// Seconds of one launch: the median of 9 runs of many.
template <class Body>
double seconds(const Stream& stream, const Body& body) {
  std::vector<double> times;
  int count = 20;
  for (int run = 0; run < 10; ++run) {
    const auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < count; ++i) body();
    check_launch("a benchmark");
    stream.wait("a benchmark");
    const double time =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() / count;
    if (run == 0) {
      count = std::clamp(static_cast<int>(0.02 / time), 4, 2000);  // the first warms up
    } else {
      times.push_back(time);
    }
  }
  std::nth_element(times.begin(), times.begin() + 4, times.end());
  return times[4];
}

class Bench {
 public:
  Bench() {
    Buffer from(kBytes), to(kBytes);
    copy_ = 2.0 * kBytes / seconds(gpu_.stream, [&] {
              check(cudaMemcpyAsync(to.as<void>(), from.as<void>(), kBytes, cudaMemcpyDeviceToDevice,
                                    gpu_.stream.get()),
                    "copy");
            });
    fmt::print("{}, compute capability {}.{}, {} multiprocessors; a copy {:.0f} GB/s\n", gpu_.traits.name,
               gpu_.traits.major, gpu_.traits.minor, gpu_.traits.multiprocessors, copy_ / 1e9);
    allow_shared_memory(gpu_.traits);
  }

  void codec() {
    constexpr std::size_t kElements = std::size_t{1} << 28;
    Buffer x(kElements * 4), codes(kElements / 2), scales(kElements / 32), refused(8);
    fill_normal(x, kElements);
    gpu_.stream.fill(refused.as<void>(), 0xFF, 8, "a benchmark");
    for (const Dtype dtype : {Dtype::f32, Dtype::bf16, Dtype::f16}) {
      const std::size_t bytes = static_cast<std::size_t>(bits_of(dtype)) / 8;
      const double moved = static_cast<double>(kElements * bytes + kElements / 2 + kElements / 32);
      for (const ScaleRule rule : {ScaleRule::t725, ScaleRule::floor, ScaleRule::rceil, ScaleRule::optimal}) {
        QuantizeLaunch launch;
        launch.x = x.as<void>();
        launch.dtype = dtype;
        launch.grid = block_grid(1, kElements, 32, static_cast<int>(bytes), 0);
        Recipe recipe;
        recipe.scale = rule;
        recipe.nonfinite = NonFinite::error;
        launch.rule = quantize_rule(recipe);
        launch.codes = codes.as<std::uint8_t>();
        launch.scales = scales.as<std::uint8_t>();
        launch.refused = refused.as<unsigned long long>();
        line(fmt::format("quantize {} {}", to_string(dtype), info(rule).name), moved,
             [&] { launch_quantize(launch, gpu_.traits.multiprocessors, gpu_.stream.get()); });
      }
      DequantizeLaunch launch;
      launch.codes = codes.as<std::uint8_t>();
      launch.scales = scales.as<std::uint8_t>();
      launch.grid = block_grid(1, kElements, 32, static_cast<int>(bytes), 0);
      launch.dtype = dtype;
      launch.out = x.as<void>();
      Buffer out(kElements * bytes);
      launch.out = out.as<void>();
      line(fmt::format("dequantize {}", to_string(dtype)), moved,
           [&] { launch_dequantize(launch, gpu_.traits.multiprocessors, gpu_.stream.get()); });
    }
  }

  /// bf16 activations and weights [rows, columns] of which `matrices` take tokens / matrices each.
  void product(std::size_t rows, std::size_t columns, std::size_t matrices, std::size_t tokens) {
    Projection projection;
    projection.tiles = tile_grid(rows, columns);
    const std::size_t copies =
        std::max<std::size_t>((std::size_t{400} << 20) / (projection.tiles.bytes() * matrices), 1);
    projection.weights = Buffer(projection.tiles.bytes() * matrices * copies);
    fill_random(projection.weights);
    projection.factors = Buffer(matrices * projection.packed_rows() * 4);
    gpu_.stream.fill(projection.factors.as<void>(), 0, projection.factors.bytes(), "a benchmark");
    const ProductPlan plan = plan_product({projection.tiles, matrices, tokens, tokens, 1}, gpu_.traits);
    std::vector<TokenTile> tiles;
    const std::size_t each = (tokens + matrices - 1) / matrices;
    for (std::size_t first = 0, m = 0; first < tokens; first += each, ++m) {
      for (std::size_t done = 0; done < each; done += static_cast<std::size_t>(plan.positions)) {
        tiles.push_back({static_cast<int>(m), static_cast<int>(first + done),
                         static_cast<int>(std::min(each - done, static_cast<std::size_t>(plan.positions)))});
      }
    }
    Buffer token_tiles(tiles.size() * sizeof(TokenTile)), count(4),
        x((tokens + each) * projection.pitch() * 2), out((tokens + each) * rows * 4),
        partials(std::max<std::size_t>(plan.partial_bytes(), 4)),
        counters(std::max<std::size_t>(plan.counter_bytes(), 4));
    const auto tile_count = static_cast<std::int32_t>(tiles.size());
    gpu_.stream.to_device(token_tiles.as<void>(), tiles.data(), token_tiles.bytes(), "a benchmark");
    gpu_.stream.to_device(count.as<void>(), &tile_count, 4, "a benchmark");
    gpu_.stream.fill(x.as<void>(), 0x3C, x.bytes(), "a benchmark");  // bf16 of 0.0115
    gpu_.stream.fill(counters.as<void>(), 0, counters.bytes(), "a benchmark");
    Product p = {};
    p.tiles = projection.tiles;
    p.row_factors = projection.factors.as<float>();
    p.packed_rows = projection.packed_rows();
    p.x = x.as<std::uint16_t>();
    p.terms = 1;
    p.token_tiles = token_tiles.as<TokenTile>();
    p.token_tile_count = count.as<std::int32_t>();
    p.out = out.as<void>();
    p.rows = rows;
    p.out_bytes = 2;
    p.chunk_tiles = plan.chunk_tiles;
    p.chunks = plan.chunks;
    p.partials = partials.as<float>();
    p.counters = counters.as<unsigned>();
    std::size_t turn = 0;
    const double time = line(
        fmt::format("{} x {}, {} matrices, {} tokens, {}", rows, columns, matrices, tokens, plan.kernel.name),
        static_cast<double>(projection.tiles.bytes() * std::min(matrices, tokens)), [&] {
          p.weights =
              projection.weights.as<std::uint8_t>() + turn++ % copies * matrices * projection.tiles.bytes();
          launch_product(plan, p, gpu_.stream.get());
        });
    const double operations =
        2.0 * static_cast<double>(rows) * static_cast<double>(columns) * static_cast<double>(tokens);
    fmt::print("{:>60} {:.0f} TFLOP/s\n", "", operations / time / 1e12);
  }

 private:
  template <class Body>
  double line(const std::string& name, double bytes, const Body& body) {
    const double time = seconds(gpu_.stream, body);
    fmt::print("{:<60} {:9.1f} us {:6.0f} GB/s {:3.0f} % of a copy\n", name, time * 1e6, bytes / time / 1e9,
               100 * bytes / time / copy_);
    std::fflush(stdout);
    return time;
  }
  void fill_normal(const Buffer& buffer, std::size_t count) {
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    std::vector<float> x(std::size_t{1} << 20);
    for (float& value : x) value = normal(random);
    for (std::size_t at = 0; at < count; at += x.size()) {
      gpu_.stream.to_device(buffer.as<float>() + at, x.data(), x.size() * 4, "a benchmark");
    }
    gpu_.stream.wait("a benchmark");
  }
  /// Codes of all kinds, and exponent fields between 2^-16 and 2^-1.
  void fill_random(const Buffer& buffer) {
    std::mt19937 random(2);
    std::vector<std::uint32_t> tile(kTileBytes / 4);
    for (std::size_t i = 0; i < tile.size(); ++i) {
      tile[i] = i < kTileCodeBytes / 4 ? static_cast<std::uint32_t>(random())
                                       : scale_word(0x3C003D00u, 0x3B803E00u);
    }
    std::vector<std::uint8_t> many;
    for (int i = 0; i < 64; ++i) {
      const auto* const bytes = reinterpret_cast<const std::uint8_t*>(tile.data());
      many.insert(many.end(), bytes, bytes + kTileBytes);
    }
    for (std::size_t at = 0; at < buffer.bytes(); at += many.size()) {
      gpu_.stream.to_device(buffer.as<std::uint8_t>() + at, many.data(),
                            std::min(many.size(), buffer.bytes() - at), "a benchmark");
    }
    gpu_.stream.wait("a benchmark");
  }

  static constexpr std::size_t kBytes = std::size_t{1} << 30;
  Gpu gpu_{0};
  double copy_ = 1;
};

}  // namespace
}  // namespace mxfp4::kernel::cuda

int main() {
  try {
    mxfp4::kernel::cuda::Bench bench;
    bench.codec();
    for (const std::size_t tokens : {1, 4, 16}) bench.product(2880, 2880, 1, tokens);
    for (const std::size_t tokens : {4, 16}) bench.product(5760, 2880, 32, tokens);
    for (const std::size_t tokens : {512, 4096}) bench.product(5760, 2880, 1, tokens);
    bench.product(5760, 2880, 32, 16384);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
