#include "mxfp4/kernel/cpu/rows_inspect.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "mxfp4/codec/bits.h"
#include "mxfp4/codec/e8m0.h"
#include "mxfp4/kernel/cpu/rows_format.h"

namespace mxfp4::kernel {
namespace {

bool ordinary(std::uint8_t byte) noexcept {
  return byte >= kLeastRowScale && byte <= kMostRowScale;
}

bool is_zero(const std::uint8_t* codes) noexcept {
  int bits = 0;
  for (int i = 0; i < 16; ++i) bits |= codes[i];
  return (bits & 0x77) == 0;
}

/// Whether some block, but for those of zeros, has a scale that is not ordinary.
bool is_odd(const std::uint8_t* codes, const std::uint8_t* scales, std::size_t blocks) noexcept {
  std::size_t others = 0;
  for (std::size_t b = 0; b < blocks; ++b) others += !ordinary(scales[b]);
  for (std::size_t b = 0; b < blocks && others > 0; ++b) {
    if (!ordinary(scales[b]) && (scales[b] == kE8m0Nan || !is_zero(codes + 16 * b))) return true;
  }
  return false;
}

/// sum s^2 / (sum s)^2 over the ordinary scales s.
double concentration(const std::uint8_t* scales, std::size_t blocks) noexcept {
  double sum = 0, squares = 0;
  for (std::size_t b = 0; b < blocks; ++b) {
    if (!ordinary(scales[b])) continue;
    const double s = static_cast<double>(e8m0_value(scales[b]));
    sum += s;
    squares += s * s;
  }
  return sum > 0 ? squares / (sum * sum) : 1;
}

}  // namespace

RowsInfo inspect_rows(const InspectRowsArgs& args) noexcept {
  RowsInfo info;
  for (std::size_t row = args.first_row; row < args.first_row + args.rows; ++row) {
    const std::uint8_t* const scales = args.scales + row * args.blocks;
    const bool odd = is_odd(args.codes + row * args.blocks * 16, scales, args.blocks);
    args.odd[row] = odd;
    info.odd = info.odd || odd;
    info.concentration += concentration(scales, args.blocks);
  }
  return info;
}

}  // namespace mxfp4::kernel
