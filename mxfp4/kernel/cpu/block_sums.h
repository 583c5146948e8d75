// Error statistics of the blocks of one call.
#pragma once

#include "mxfp4/codec/block.h"
#include "mxfp4/codec/nibble.h"
#include "mxfp4/kernel/cpu/dequantize_tables.h"
#include "mxfp4/kernel/cpu/elements.h"
#include "mxfp4/kernel/error_stats.h"

namespace mxfp4::kernel {
namespace {

/// Of one block. x - q and its square are exact, in f32 and in double; squares are added over the lanes i mod
/// 8 and the lanes in one tree, the same everywhere.
struct BlockErrors {
  double signal, noise;
  std::uint32_t saturated;
};

/// What ErrorStats holds, apart from the counts that follow from the shape; that type has a constructor,
/// which must not be compiled here.
struct BlockSums {
  double signal, noise;
  std::uint64_t lossless_blocks, saturated;
  std::uint64_t scales[256];

  void add(const BlockErrors& block, std::uint8_t byte) noexcept {
    signal += block.signal;
    noise += block.noise;
    lossless_blocks += block.noise == 0.0;
    saturated += block.saturated;
    ++scales[byte];
  }

  /// Any block: x[0, 32) and the bytes that stand for it.
  void add_odd(const float* x, std::uint8_t byte, const std::uint8_t* codes) noexcept {
    ++scales[byte];
    if (byte == kE8m0Nan) return;
    const double scale = power_of_two(byte - kE8m0Bias);
    bool lossless = true;
    for (int i = 0; i < 32; ++i) {
      const double q =
          e2m1_value(nibble(codes, static_cast<std::size_t>(i), NibbleOrder::interleaved)) * scale;
      lossless = lossless && x[i] == q;
      saturated += magnitude(x[i]) > kE2m1Max * scale;
      if (!is_finite(x[i])) continue;
      signal += static_cast<double>(x[i]) * x[i];
      noise += (x[i] - q) * (x[i] - q);
    }
    lossless_blocks += lossless;
  }

  void add_to(ErrorStats& stats, std::uint64_t elements, std::uint64_t blocks) const noexcept {
    stats.signal += signal;
    stats.noise += noise;
    stats.elements += elements;
    stats.blocks += blocks;
    stats.lossless_blocks += lossless_blocks;
    stats.saturated += saturated;
    // The array's own functions must not be compiled here.
    static_assert(sizeof stats.scales == sizeof scales);
    std::uint64_t* const counts = reinterpret_cast<std::uint64_t*>(&stats.scales);
    for (int byte = 0; byte < 256; ++byte) counts[byte] += scales[byte];
  }
};

}  // namespace
}  // namespace mxfp4::kernel
