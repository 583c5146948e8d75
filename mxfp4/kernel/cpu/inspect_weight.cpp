#include "mxfp4/kernel/cpu/inspect_weight.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "mxfp4/codec/bits.h"
#include "mxfp4/codec/e8m0.h"
#include "mxfp4/kernel/cpu/packed.h"
#include "mxfp4/kernel/cpu/rows_format.h"

namespace mxfp4::kernel {
namespace {

bool ordinary(std::uint8_t byte) noexcept {
  return byte >= kLeastRowScale && byte <= kMostRowScale;
}

/// Whether some block, but for those of zeros, has a scale that is not ordinary.
bool is_odd(const std::uint8_t* codes, const std::uint8_t* scales, std::size_t blocks) noexcept {
  std::size_t others = 0;
  for (std::size_t b = 0; b < blocks; ++b) others += !ordinary(scales[b]);
  for (std::size_t b = 0; b < blocks && others > 0; ++b) {
    if (!ordinary(scales[b]) && (scales[b] == kE8m0Nan || !is_zero_block(codes + 16 * b))) return true;
  }
  return false;
}

/// How many elements of a block are neither 0 nor -0.
std::uint8_t count_elements(const std::uint8_t* codes) noexcept {
  std::uint64_t halves[2];
  __builtin_memcpy(halves, codes, sizeof halves);
  std::uint64_t sums = 0;  // a nibble's: 2 at the most
  for (const std::uint64_t x : halves) sums += (x | x >> 1 | x >> 2) & 0x1111111111111111;
  sums = (sums & 0x0F0F0F0F0F0F0F0F) + (sums >> 4 & 0x0F0F0F0F0F0F0F0F);
  return static_cast<std::uint8_t>(sums * 0x0101010101010101 >> 56);
}

/// 2^(byte - most), or 0 where that is no normal number; 0 above `most`, where only blocks of zeros are.
float relative_scale(std::uint8_t byte, int most) noexcept {
  const int exponent = byte - most + 127;
  const bool counts = exponent > 0 && exponent <= 127;
  return bit_cast<float>(static_cast<std::uint32_t>(counts ? exponent : 0) << 23);
}

/// The sum of scale * count, in eight sums, which the compilers make a vector of.
float sum_of_weights(const std::uint8_t* scales, const std::uint8_t* counts, std::size_t blocks,
                     int most) noexcept {
  constexpr std::size_t kLanes = 8;
  const auto weight = [&](std::size_t b) noexcept { return relative_scale(scales[b], most) * counts[b]; };
  float lanes[kLanes] = {};
  std::size_t b = 0;
  for (; b + kLanes <= blocks; b += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) lanes[lane] += weight(b + lane);
  }
  float sum = 0;
  for (; b < blocks; ++b) sum += weight(b);
  for (const float lane : lanes) sum += lane;
  return sum;
}

}  // namespace

bool inspect_rows(const InspectRowsArgs& args) noexcept {
  bool any = false;
  for (std::size_t row = args.first_row; row < args.first_row + args.rows; ++row) {
    const bool odd =
        is_odd(args.codes + row * args.blocks * 16, args.scales + row * args.blocks, args.blocks);
    args.odd[row] = odd;
    any = any || odd;
  }
  return any;
}

float add_spread(const SpreadArgs& args) noexcept {
  int most = -1;
  for (std::size_t b = 0; b < args.blocks; ++b) {
    args.counts[b] = count_elements(args.codes + 16 * b);
    const int byte = args.counts[b] == 0 ? -1 : args.scales[b];
    most = byte > most ? byte : most;
  }
  if (most < 0) return 0;  // a row of zeros, which has no error
  const auto blocks = static_cast<float>(args.blocks);
  const float to_v = 32 * blocks / sum_of_weights(args.scales, args.counts, args.blocks, most);
  float sum = 0;
  for (std::size_t b = 0; b < args.blocks; ++b) {
    const float v = args.counts[b] == 0 ? 0 : relative_scale(args.scales[b], most) * to_v;
    const float part = v * args.counts[b] / 32;
    args.means[b] += part;
    args.squares[b] += v * part;
    sum += v * v;
  }
  return sum / blocks;
}

}  // namespace mxfp4::kernel
