// Error statistics of the blocks of one call.
#pragma once

#include "mxfp4/codec/nibble.h"
#include "mxfp4/kernel/cpu/quantize_block.h"
#include "mxfp4/kernel/error_stats.h"

namespace mxfp4::kernel {
namespace {

/// What ErrorStats holds, apart from the counts that follow from the shape; that type has a constructor,
/// which must not be compiled here.
struct BlockSums {
  double signal, noise;
  std::uint64_t lossless_blocks, saturated;
  std::uint64_t scales[256];
};

/// Adds a block that quantize_block() made. Everything is exact but the sums.
template <int B>
void add_block(const Block<B>& block, BlockSums& sums) noexcept {
  const double scale = power_of_two(block.byte - kE8m0Bias);
  Sum8 signal, noise;
  for (int j = 0; j < block.kVectors; ++j) {
    const Floats x = magnitudes(block.x[j]);
    const Floats q = e2m1_magnitudes(block.code[j]);
    const Widened wide = widened(x), value = widened(q);
    const Doubles low = wide.low - value.low * scale;
    const Doubles high = wide.high - value.high * scale;
    signal.add(j, wide.low * wide.low, wide.high * wide.high);
    noise.add(j, low * low, high * high);
  }
  const double block_noise = noise.total();
  sums.signal += signal.total();
  sums.noise += block_noise;
  sums.lossless_blocks += block_noise == 0.0;
  ++sums.scales[block.byte];
  if (!block.saturated) return;
  for (int j = 0; j < block.kVectors; ++j) {
    for (int i = 0; i < kLanes; ++i) sums.saturated += mxfp4::magnitude(block.x[j][i]) > kE2m1Max * scale;
  }
}

/// Adds x[0, n) with the bytes that stand for it: any block.
inline void add_odd_block(const float* x, int n, std::uint8_t byte, const std::uint8_t* codes,
                          BlockSums& sums) noexcept {
  ++sums.scales[byte];
  if (byte == kE8m0Nan) return;
  const double scale = power_of_two(byte - kE8m0Bias);
  bool lossless = true;
  for (int i = 0; i < n; ++i) {
    const double q = e2m1_value(nibble(codes, static_cast<std::size_t>(i), NibbleOrder::interleaved)) * scale;
    lossless = lossless && x[i] == q;
    sums.saturated += magnitude(x[i]) > kE2m1Max * scale;
    if (!is_finite(x[i])) continue;
    sums.signal += static_cast<double>(x[i]) * x[i];
    sums.noise += (x[i] - q) * (x[i] - q);
  }
  sums.lossless_blocks += lossless;
}

inline void add(const BlockSums& sums, std::uint64_t elements, std::uint64_t blocks,
                ErrorStats& stats) noexcept {
  stats.signal += sums.signal;
  stats.noise += sums.noise;
  stats.elements += elements;
  stats.blocks += blocks;
  stats.lossless_blocks += sums.lossless_blocks;
  stats.saturated += sums.saturated;
  // The array's own functions must not be compiled here.
  static_assert(sizeof stats.scales == sizeof sums.scales);
  std::uint64_t* const scales = reinterpret_cast<std::uint64_t*>(&stats.scales);
  for (int byte = 0; byte < 256; ++byte) scales[byte] += sums.scales[byte];
}

}  // namespace
}  // namespace mxfp4::kernel
