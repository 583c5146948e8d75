#include "mxfp4/checkpoint/other_codes.h"

#include <array>
#include <cmath>
#include <limits>

#include "mxfp4/codec/e8m0.h"

namespace mxfp4 {
namespace {

constexpr std::int64_t kTile = 128;

// E4M3: sign, 4 bits of exponent (bias 7), 3 of mantissa; no infinity, NaN where all are ones.
float e4m3(unsigned byte) noexcept {
  const unsigned exponent = byte >> 3 & 15, mantissa = byte & 7;
  float value = std::ldexp(static_cast<float>(exponent == 0 ? mantissa : mantissa + 8),
                           static_cast<int>(exponent == 0 ? 1 : exponent) - 10);
  if (exponent == 15 && mantissa == 7) value = std::numeric_limits<float>::quiet_NaN();
  return (byte & 0x80) != 0 ? -value : value;
}

const std::array<float, 256>& e4m3_values() noexcept {
  static const std::array<float, 256> values = [] {
    std::array<float, 256> table{};
    for (unsigned byte = 0; byte < table.size(); ++byte) table[byte] = e4m3(byte);
    return table;
  }();
  return values;
}

class Fp8InTiles final : public OtherCodes {
 public:
  void read(std::int64_t row, std::int64_t row_end, std::int64_t column, std::int64_t column_end,
            float* out) const override {
    const std::int64_t columns = shape.back(), tiles = (columns + kTile - 1) / kTile;
    const std::array<float, 256>& values = e4m3_values();
    for (; row < row_end; ++row) {
      for (std::int64_t k = column; k < column_end; ++k) {
        const auto code =
            std::to_integer<std::size_t>(stored[0]->bytes[static_cast<std::size_t>(row * columns + k)]);
        const auto scale = std::to_integer<std::uint8_t>(
            stored[1]->bytes[static_cast<std::size_t>(row / kTile * tiles + k / kTile)]);
        *out++ = values[code] * static_cast<float>(e8m0_value(scale));
      }
    }
  }
};

}  // namespace

OtherCodesPtr fp8_in_tiles(const StoredTensor& codes, const StoredTensor& scales) {
  if (codes.dtype != Dtype::f8_e4m3 || scales.dtype != Dtype::f8_e8m0 || codes.shape.size() != 2)
    return nullptr;
  Shape tiles = codes.shape;
  for (std::int64_t& size : tiles) size = (size + kTile - 1) / kTile;
  if (scales.shape != tiles) return nullptr;
  auto weight = std::make_shared<Fp8InTiles>();
  weight->name = "FP8";
  weight->shape = codes.shape;
  weight->stored = {&codes, &scales};
  return weight;
}

}  // namespace mxfp4
