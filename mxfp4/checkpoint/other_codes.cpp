#include "mxfp4/checkpoint/other_codes.h"

#include <algorithm>
#include <array>
#include <limits>

#include "mxfp4/codec/e2m1.h"
#include "mxfp4/codec/e4m3.h"
#include "mxfp4/codec/e8m0.h"
#include "mxfp4/tensor/view.h"

namespace mxfp4 {
namespace {

const std::array<float, 256>& e4m3_values() noexcept {
  static const std::array<float, 256> values = [] {
    std::array<float, 256> table{};
    for (std::size_t byte = 0; byte < table.size(); ++byte)
      table[byte] = e4m3_value(static_cast<std::uint8_t>(byte));
    return table;
  }();
  return values;
}

std::uint8_t byte_of(const StoredTensor& tensor, std::int64_t index) {
  return std::to_integer<std::uint8_t>(tensor.bytes[static_cast<std::size_t>(index)]);
}

float number(const StoredTensor& tensor, std::int64_t index) {
  const auto bytes = static_cast<std::int64_t>(bits_of(tensor.dtype)) / 8;
  float value = 0;
  copy_rows_f32(dense_view(tensor.bytes.data() + index * bytes, tensor.dtype, {1}), 0, 1, &value);
  return value;
}

/// Codes whose read_as() computes in whatever it is asked for.
template <class Codes>
class InEitherPrecision : public OtherCodes {
 public:
  void read(std::int64_t row, std::int64_t row_end, std::int64_t column, std::int64_t column_end,
            float* out) const final {
    static_cast<const Codes*>(this)->read_as(row, row_end, column, column_end, out);
  }
  void read_exact(std::int64_t row, std::int64_t row_end, std::int64_t column, std::int64_t column_end,
                  double* out) const final {
    static_cast<const Codes*>(this)->read_as(row, row_end, column, column_end, out);
  }
};

class Fp8InTiles final : public InEitherPrecision<Fp8InTiles> {
 public:
  template <class Number>
  void read_as(std::int64_t row, std::int64_t row_end, std::int64_t column, std::int64_t column_end,
               Number* out) const {
    const std::int64_t columns = shape.back(), tiles = (columns + kFp8Tile - 1) / kFp8Tile;
    const std::array<float, 256>& values = e4m3_values();
    for (; row < row_end; ++row) {
      for (std::int64_t k = column; k < column_end;) {
        const std::int64_t in_row = k / kFp8Tile, end = std::min((in_row + 1) * kFp8Tile, column_end);
        const std::int64_t tile = row / kFp8Tile * tiles + in_row;
        const Number scale = stored[1]->dtype == Dtype::f8_e8m0 ? e8m0_value(byte_of(*stored[1], tile))
                                                                : number(*stored[1], tile);
        const std::byte* code = stored[0]->bytes.data() + row * columns + k;
        for (; k < end; ++k) *out++ = Number{values[std::to_integer<std::size_t>(*code++)]} * scale;
      }
    }
  }
};

class Nvfp4Codes final : public InEitherPrecision<Nvfp4Codes> {
 public:
  template <class Number>
  void read_as(std::int64_t row, std::int64_t row_end, std::int64_t column, std::int64_t column_end,
               Number* out) const {
    const std::int64_t columns = shape.back(), blocks = columns / kNvfp4Block;
    const std::array<float, 256>& values = e4m3_values();
    const Number global = number(*stored[2], 0);
    for (; row < row_end; ++row) {
      for (std::int64_t k = column; k < column_end;) {
        const std::int64_t block = k / kNvfp4Block, end = std::min((block + 1) * kNvfp4Block, column_end);
        const Number scale = Number{values[byte_of(*stored[1], row * blocks + block)]} / global;
        Number of_code[16];
        for (std::uint8_t code = 0; code < 16; ++code) of_code[code] = Number{e2m1_value(code)} * scale;
        const std::byte* const codes = stored[0]->bytes.data() + row * columns / 2;
        for (; k < end; ++k) *out++ = of_code[std::to_integer<int>(codes[k / 2]) >> (k % 2 * 4) & 15];
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

  std::int64_t group_, bits_;
};

}  // namespace

void OtherCodes::read_exact(std::int64_t row, std::int64_t row_end, std::int64_t column,
                            std::int64_t column_end, double* out) const {
  std::vector<float> values(static_cast<std::size_t>((row_end - row) * (column_end - column)));
  read(row, row_end, column, column_end, values.data());
  std::copy(values.begin(), values.end(), out);
}

OtherCodesPtr fp8_in_tiles(const StoredTensor& codes, const StoredTensor& scales) {
  if (codes.dtype != Dtype::f8_e4m3 || codes.shape.size() != 2 ||
      (scales.dtype != Dtype::f8_e8m0 && scales.dtype != Dtype::f32))
    return nullptr;
  Shape tiles = codes.shape;
  for (std::int64_t& size : tiles) size = size / kFp8Tile + (size % kFp8Tile != 0 ? 1 : 0);
  if (scales.shape != tiles) return nullptr;
  auto weight = std::make_shared<Fp8InTiles>();
  weight->name = "FP8";
  weight->format = "fp8";
  weight->shape = codes.shape;
  weight->stored = {&codes, &scales};
  return weight;
}

OtherCodesPtr nvfp4_codes(const StoredTensor& codes, const StoredTensor& scales, const StoredTensor& global) {
  if (codes.dtype != Dtype::u8 || scales.dtype != Dtype::f8_e4m3 || global.dtype != Dtype::f32)
    return nullptr;
  if (codes.shape.size() != 2 || element_count(global.shape) != 1) return nullptr;
  const std::int64_t rows = codes.shape[0], bytes = codes.shape[1];
  if (bytes % (kNvfp4Block / 2) != 0 || bytes > std::numeric_limits<std::int64_t>::max() / 64 ||
      scales.shape != Shape{rows, bytes / (kNvfp4Block / 2)})
    return nullptr;
  auto weight = std::make_shared<Nvfp4Codes>();
  weight->name = "NVFP4";
  weight->format = "nvfp4";
  weight->shape = {rows, bytes * 2};
  weight->stored = {&codes, &scales, &global};
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
