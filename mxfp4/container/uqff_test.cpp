#include "mxfp4/container/uqff.h"

#include <cstring>
#include <fstream>

#include <gtest/gtest.h>

#include "mxfp4/base/test_directory_internal.h"
#include "mxfp4/base/test_error_internal.h"
#include "mxfp4/container/safetensors.h"

namespace mxfp4::uqff {
namespace {

/// Two experts of three rows of 64.
struct Sample {
  Sample() : codes(2 * 3 * 32), scales(2 * 3 * 2), bias(6) {
    for (std::size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<std::uint8_t>(7 * i);
    for (std::size_t i = 0; i < scales.size(); ++i) scales[i] = static_cast<std::uint8_t>(100 + i);
    for (std::size_t i = 0; i < bias.size(); ++i) bias[i] = static_cast<float>(i) - 2.5f;
  }
  Mxfp4View weight() const { return {codes.data(), scales.data(), {2, 3, 64}}; }
  DenseView bias_view() const { return dense_view(bias.data(), Dtype::f32, {2, 3}); }

  std::vector<std::uint8_t> codes, scales;
  std::vector<float> bias;
};

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

template <class Number>
std::string number(Number value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

TEST(Uqff, BlobsHaveTheBytesOfTheDescription) {
  const Sample sample;
  std::string expected = number<std::uint32_t>(2 << 8) + '\6' + '\1';
  const auto add = [&](std::uint32_t dtype, std::initializer_list<std::uint32_t> dims, const void* data,
                       std::uint32_t size) {
    expected += number(size) + number(dtype) + number(static_cast<std::uint32_t>(dims.size()));
    for (const std::uint32_t dim : dims) expected += number(dim);
    expected.append(static_cast<const char*>(data), size);
  };
  add(0, {2, 3, 32}, sample.codes.data(), 192);
  add(0, {2, 3, 2}, sample.scales.data(), 12);
  add(6, {2, 3}, sample.bias.data(), 24);
  EXPECT_EQ(write_layer(sample.weight(), sample.bias_view()), expected);
  expected.resize(expected.size() - 24 - 20);
  expected[5] = '\0';
  EXPECT_EQ(write_layer(sample.weight()), expected);
}

TEST(Uqff, ReadsWhatItWrites) {
  const Sample sample;
  for (const bool with_bias : {false, true}) {
    const std::string blob = write_layer(sample.weight(), with_bias ? sample.bias_view() : DenseView());
    const Layer layer = read_layer(bytes_of(blob), "x");
    EXPECT_EQ(layer.version, kBlobVersion);
    EXPECT_EQ(layer.weight.shape, (Shape{2, 3, 64}));
    EXPECT_EQ(std::memcmp(layer.weight.codes, sample.codes.data(), sample.codes.size()), 0);
    EXPECT_EQ(std::memcmp(layer.weight.scales, sample.scales.data(), sample.scales.size()), 0);
    ASSERT_EQ(layer.bias.has_value(), with_bias);
    if (!with_bias) continue;
    EXPECT_EQ(layer.bias->dtype, Dtype::f32);
    EXPECT_EQ(layer.bias->shape, (Shape{2, 3}));
    EXPECT_EQ(std::memcmp(layer.bias->bytes.data(), sample.bias.data(), 24), 0);
  }
}

TEST(Uqff, RefusesEveryTruncationAndWhatFollows) {
  const Sample sample;
  const std::string blob = write_layer(sample.weight(), sample.bias_view());
  for (std::size_t size = 0; size < blob.size(); ++size) {
    EXPECT_EQ(error_of([&] { read_layer(bytes_of(blob.substr(0, size)), "x"); }).code(),
              ErrorCode::corrupt_file);
  }
  const Error error = error_of([&] { read_layer(bytes_of(blob + "more"), "x"); });
  EXPECT_STREQ(error.what(), "x: at byte 302: 4 bytes follow the layer");
}

TEST(Uqff, RefusesBlobsThatCannotBe) {
  const Sample sample;
  const std::string good = write_layer(sample.weight(), sample.bias_view());
  const auto expect_refused = [&](std::size_t at, auto value, const std::string& part,
                                  ErrorCode code = ErrorCode::corrupt_file) {
    std::string blob = good;
    std::memcpy(blob.data() + at, &value, sizeof value);
    const Error error = error_of([&] { read_layer(bytes_of(blob), "x"); });
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  };
  constexpr std::size_t kScalesAt = 6 + 24 + 192, kBiasAt = kScalesAt + 24 + 12;
  expect_refused(0, 0x00010000u, "UQFF version 1.0.0 is not read", ErrorCode::unsupported);
  expect_refused(0, 0x00000300u, "UQFF version 0.3.0 is not read", ErrorCode::unsupported);
  expect_refused(4, std::uint8_t{5}, "format 5, not 6", ErrorCode::unsupported);
  expect_refused(5, std::uint8_t{2}, "the mark of a bias is 2");
  expect_refused(5, std::uint8_t{0}, "44 bytes follow the layer");
  expect_refused(6, 191u, "codes of dtype U8 and shape [2, 3, 32] have 191 bytes");
  expect_refused(10, 14u, "codes have dtype 14");
  expect_refused(10, 9u, "codes and scales have dtype F8_E4M3");
  expect_refused(14, 9u, "codes have 9 dimensions");
  expect_refused(18, ~0u, "codes of dtype U8 and shape [4294967295, 3, 32]");
  expect_refused(kScalesAt + 16, 2u, "scales of dtype U8");
  std::string blob = good;  // as many scales, in another shape
  std::swap(blob[kScalesAt + 12], blob[kScalesAt + 16]);
  EXPECT_NE(std::string(error_of([&] { read_layer(bytes_of(blob), "x"); }).what())
                .find("do not fit scales of shape [3, 2, 2]"),
            std::string::npos);
  expect_refused(kBiasAt + 4, 2u, "biases are I32");
  blob = good;
  std::swap(blob[kBiasAt + 12], blob[kBiasAt + 16]);
  EXPECT_NE(std::string(error_of([&] { read_layer(bytes_of(blob), "x"); }).what())
                .find("biases are F32 of shape [3, 2]"),
            std::string::npos);
}

TEST(Uqff, WritesNoBlobThatNobodyCouldRead) {
  const Sample sample;
  const auto refusal = [](const std::function<void()>& action) {
    const Error error = error_of(action);
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    return std::string(error.what());
  };
  EXPECT_NE(refusal([] { layout_blob({2, 48}, {}); }).find("[2, 48]"), std::string::npos);
  EXPECT_NE(refusal([] { layout_blob({64}, {}); }).find("[64]"), std::string::npos);
  EXPECT_NE(refusal([] { layout_blob({1 << 20, 1 << 13}, {}); }).find("4294967295 bytes"), std::string::npos);
  EXPECT_NE(refusal([] {
              layout_blob({0, std::int64_t{1} << 33, 32}, {});
            }).find("8589934592"),
            std::string::npos);
  EXPECT_EQ(layout_blob({(1 << 20) - 1, 1 << 13}, {}).codes, 26u);
  EXPECT_NE(refusal([] { layout_blob({2, 32}, Dtype::f4); }).find("dtype F4"), std::string::npos);
  Mxfp4View split = sample.weight();
  split.order = NibbleOrder::split16;
  EXPECT_NE(refusal([&] { write_layer(split); }).find("interleaved"), std::string::npos);
  const DenseView wrong = dense_view(sample.bias.data(), Dtype::f32, {3, 2});
  EXPECT_NE(refusal([&] { write_layer(sample.weight(), wrong); }).find("shape [3, 2]"), std::string::npos);
}

TEST(Uqff, ShowsBlobsAsNewerFilesHaveThem) {
  const Sample sample;
  const std::string blobs[] = {write_layer(sample.weight(), sample.bias_view()),
                               write_layer(sample.weight())};
  const std::vector<safetensors::TensorSpec> specs = {
      {"0", Dtype::u8, {static_cast<std::int64_t>(blobs[0].size())}},
      {"1", Dtype::u8, {static_cast<std::int64_t>(blobs[1].size())}}};
  const TestDirectory directory;
  std::ofstream(directory / "x-0.uqff", std::ios::binary)
      << safetensors::layout(specs, {}).head << blobs[0] << blobs[1];
  const TensorFile file = open(directory / "x-0.uqff");
  ASSERT_EQ(file.tensors.size(), 5u);
  EXPECT_EQ(file.tensors[0].name, "0.weight");
  EXPECT_EQ(file.tensors[1].name, "0.weight.scales");
  EXPECT_EQ(file.tensors[2].name, "0.bias");
  EXPECT_EQ(file.tensors[3].name, "1.weight");
  EXPECT_EQ(file.tensors[3].shape, (Shape{2, 3, 32}));
  EXPECT_EQ(std::memcmp(file.tensors[4].bytes.data(), sample.scales.data(), sample.scales.size()), 0);
  EXPECT_EQ(file.metadata.at("uqff.version"), "0.2.0");
}

}  // namespace
}  // namespace mxfp4::uqff
