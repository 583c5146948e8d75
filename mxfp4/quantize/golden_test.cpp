// The bytes of tests/data/quantize, which other projects and exact definitions wrote.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>

#include <gtest/gtest.h>

#include "mxfp4/codec/float16.h"
#include "mxfp4/container/safetensors.h"
#include "mxfp4/quantize/quantize.h"

namespace mxfp4 {
namespace {

TensorFilePtr open_golden(const std::string& name) {
  return safetensors::open(std::string(MXFP4_TEST_DATA "/quantize/") + name + ".safetensors");
}

const StoredTensor* find(const TensorFile& file, const std::string& name) {
  for (const StoredTensor& tensor : file.tensors) {
    if (tensor.name == name) return &tensor;
  }
  return nullptr;
}

DenseView view_of(const StoredTensor& tensor) {
  return dense_view(tensor.bytes.data(), tensor.dtype, tensor.shape);
}

std::vector<std::uint8_t> bytes_of(const StoredTensor& tensor) {
  std::vector<std::uint8_t> bytes(tensor.bytes.size());
  std::memcpy(bytes.data(), tensor.bytes.data(), bytes.size());
  return bytes;
}

class Golden : public testing::TestWithParam<Preset> {};

/// The codes of a block that its origin leaves open are not compared: those of torchao's NaN blocks.
void forget_nan_blocks(const std::vector<std::uint8_t>& scales, std::vector<std::uint8_t>& codes) {
  const std::size_t size = codes.size() / scales.size();
  for (std::size_t b = 0; b < scales.size(); ++b) {
    if (scales[b] == kE8m0Nan) std::fill_n(codes.begin() + static_cast<std::ptrdiff_t>(b * size), size, 0);
  }
}

TEST_P(Golden, WritesTheSameBytes) {
  const TensorFilePtr inputs = open_golden("inputs"), golden = open_golden(GetParam().name);
  int compared = 0;
  for (const StoredTensor& input : inputs->tensors) {
    for (const int block_size : {32, 16}) {
      const std::string suffix = block_size == 32 ? "" : "16";
      const StoredTensor* const codes = find(*golden, input.name + ".codes" + suffix);
      const StoredTensor* const scales = find(*golden, input.name + ".scales" + suffix);
      // transformers writes anything for what rounds to infinity in bf16.
      const bool overflows = GetParam().recipe.through_bf16 && input.name == "extreme_f32";
      const bool nonfinite = input.name.starts_with("nonfinite") || overflows;
      if (codes == nullptr) continue;
      ASSERT_NE(scales, nullptr) << input.name;
      for (const Isa isa : built_isas()) {
        if (!supported(isa)) continue;
        QuantizeOptions options;
        options.recipe = GetParam().recipe;
        if (nonfinite && options.recipe.nonfinite == NonFinite::error)
          options.recipe.nonfinite = NonFinite::nan_block;
        options.block_size = block_size;
        options.context.isa = isa;
        Mxfp4Tensor result = quantize(view_of(input), options);
        std::vector<std::uint8_t> expected = bytes_of(*codes);
        EXPECT_EQ(result.scales, bytes_of(*scales))
            << input.name << ", block " << block_size << ", " << to_string(isa);
        if (overflows || options.recipe.nonfinite == NonFinite::origin) {
          forget_nan_blocks(result.scales, expected);
          forget_nan_blocks(result.scales, result.codes);
        }
        EXPECT_EQ(result.codes, expected) << input.name << ", block " << block_size << ", " << to_string(isa);
      }
      ++compared;
    }
  }
  EXPECT_GE(compared, 25);
}

INSTANTIATE_TEST_SUITE_P(Presets, Golden, testing::ValuesIn(presets().begin(), presets().end()),
                         [](const auto& preset) {
                           std::string name = preset.param.name;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

/// Whether two elements are the same bits, or both NaN.
template <class T>
bool same(T a, T b, float (*value)(T)) {
  return a == b || (std::isnan(value(a)) && std::isnan(value(b)));
}

template <class T>
void expect_values(Dtype dtype, const std::string& reading, float (*value)(T)) {
  const TensorFilePtr golden = open_golden("dequantize");
  const StoredTensor* const codes = find(*golden, "codes");
  const StoredTensor* const scales = find(*golden, "scales");
  const StoredTensor* const expected = find(*golden, reading);
  ASSERT_NE(expected, nullptr) << reading;
  const auto* const code_bytes = reinterpret_cast<const std::uint8_t*>(codes->bytes.data());
  const auto* const scale_bytes = reinterpret_cast<const std::uint8_t*>(scales->bytes.data());
  std::vector<T> out(256 * 32), wanted(256 * 32);
  ASSERT_EQ(expected->bytes.size(), wanted.size() * sizeof(T));
  std::memcpy(wanted.data(), expected->bytes.data(), expected->bytes.size());
  for (const Isa isa : built_isas()) {
    if (!supported(isa)) continue;
    dequantize({code_bytes, scale_bytes, {256, 32}}, dtype, out.data(), {1, isa});
    for (std::size_t i = 0; i < out.size(); ++i) {
      EXPECT_TRUE(same(out[i], wanted[i], value)) << reading << ", byte " << i / 32 << ", element " << i % 32;
    }
  }
}

TEST(GoldenValues, AreThoseOfExactArithmeticAndOfOtherReaders) {
  for (const char* reading : {"exact_f32", "torchao_f32", "ml_dtypes_f32"}) {
    expect_values<std::uint32_t>(Dtype::f32, reading,
                                 [](std::uint32_t bits) { return bit_cast<float>(bits); });
  }
  for (const char* reading : {"exact_bf16", "torchao_bf16"}) {
    expect_values<std::uint16_t>(Dtype::bf16, reading, [](std::uint16_t bits) { return bf16_to_f32(bits); });
  }
  expect_values<std::uint16_t>(Dtype::f16, "exact_f16", [](std::uint16_t bits) { return f16_to_f32(bits); });
}

}  // namespace
}  // namespace mxfp4
