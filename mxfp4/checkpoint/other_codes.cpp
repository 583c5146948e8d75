#include "mxfp4/checkpoint/other_codes.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "mxfp4/codec/e8m0.h"
#include "mxfp4/tensor/view.h"

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

class AffineWords final : public OtherCodes {
 public:
  AffineWords(std::int64_t group, std::int64_t bits) : group_(group), bits_(bits) {}

  void read(std::int64_t row, std::int64_t row_end, std::int64_t column, std::int64_t column_end,
            float* out) const override {
    const std::int64_t columns = shape.back(), groups = columns / group_;
    for (; row < row_end; ++row) {
      for (std::int64_t begin = column; begin < column_end;) {
        const std::int64_t in_row = begin / group_, end = std::min((in_row + 1) * group_, column_end);
        const float scale = number(*stored[1], row * groups + in_row),
                    bias = number(*stored[2], row * groups + in_row);
        for (; begin < end; ++begin) *out++ = scale * static_cast<float>(code(row * columns + begin)) + bias;
      }
    }
  }

 private:
  unsigned code(std::int64_t element) const {
    // Little-endian words: elements lie in the order of bytes, of 4 bits the lower half first.
    const std::int64_t at = element * bits_;
    const auto byte = std::to_integer<unsigned>(stored[0]->bytes[static_cast<std::size_t>(at / 8)]);
    return bits_ == 8 ? byte : byte >> (at % 8) & 15;
  }

  static float number(const StoredTensor& tensor, std::int64_t index) {
    const auto bytes = static_cast<std::int64_t>(bits_of(tensor.dtype)) / 8;
    float value = 0;
    copy_rows_f32(dense_view(tensor.bytes.data() + index * bytes, tensor.dtype, {1}), 0, 1, &value);
    return value;
  }

  std::int64_t group_, bits_;
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

OtherCodesPtr affine_words(const StoredTensor& codes, const StoredTensor& scales, const StoredTensor& biases,
                           std::int64_t group, std::int64_t bits) {
  if (codes.dtype != Dtype::u32 || codes.shape.size() != 2 || (bits != 4 && bits != 8) || group <= 0)
    return nullptr;
  if (!is_dense_float(scales.dtype) || scales.dtype != biases.dtype || scales.shape != biases.shape)
    return nullptr;
  Shape shape = codes.shape;
  if (shape[1] > std::numeric_limits<std::int64_t>::max() / 32) return nullptr;
  shape[1] *= 32 / bits;
  if (shape[1] % group != 0 || scales.shape != Shape{shape[0], shape[1] / group}) return nullptr;
  auto weight = std::make_shared<AffineWords>(group, bits);
  weight->name = bits == 8 ? "8-bit affine" : "4-bit affine";
  weight->shape = shape;
  weight->stored = {&codes, &scales, &biases};
  return weight;
}

}  // namespace mxfp4
