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

/// 2^(byte - most), or 0 where that is no normal number; 0 above `most`, where only blocks of zeros are.
float relative_scale(std::uint8_t byte, int most) noexcept {
  const int exponent = byte - most + 127;
  const bool counts = exponent > 0 && exponent <= 127;
  return bit_cast<float>(static_cast<std::uint32_t>(counts ? exponent : 0) << 23);
}

/// The largest scale byte of a block that is not all zeros; -1 if there is none.
int largest_scale(const std::uint8_t* codes, const std::uint8_t* scales, std::size_t blocks) noexcept {
  for (int limit = 255; limit >= 0;) {
    int most = -1;
    for (std::size_t b = 0; b < blocks; ++b) {
      most = scales[b] <= limit && scales[b] > most ? scales[b] : most;
    }
    for (std::size_t b = 0; b < blocks; ++b) {
      if (scales[b] == most && !is_zero_block(codes + 16 * b)) return most;
    }
    limit = most - 1;
  }
  return -1;
}

/// In eight sums, which the compilers make a vector of.
float sum_of_scales(const std::uint8_t* scales, std::size_t blocks, int most) noexcept {
  constexpr std::size_t kLanes = 8;
  float lanes[kLanes] = {};
  std::size_t b = 0;
  for (; b + kLanes <= blocks; b += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) lanes[lane] += relative_scale(scales[b + lane], most);
  }
  float sum = 0;
  for (; b < blocks; ++b) sum += relative_scale(scales[b], most);
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

void add_spread(const SpreadArgs& args) noexcept {
  for (std::size_t row = args.first_row; row < args.first_row + args.rows; ++row) {
    const std::uint8_t* const scales = args.scales + row * args.blocks;
    const int most = largest_scale(args.codes + row * args.blocks * 16, scales, args.blocks);
    if (most < 0) continue;  // a row of zeros, which has no error
    const float to_mean = static_cast<float>(args.blocks) / sum_of_scales(scales, args.blocks, most);
    for (std::size_t b = 0; b < args.blocks; ++b) {
      const float v = relative_scale(scales[b], most) * to_mean;
      args.means[b] += v;
      args.squares[b] += v * v;
    }
  }
}

}  // namespace mxfp4::kernel
