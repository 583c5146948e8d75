#include "mxfp4/quantize/dequantize_chunks.h"

#include <cstring>
#include <random>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "mxfp4/base/error.h"
#include "mxfp4/quantize/quantize.h"

namespace mxfp4 {
namespace {

using Bytes = std::vector<std::byte>;

constexpr Dtype kDtypes[] = {Dtype::f32, Dtype::bf16, Dtype::f16};

/// Random codes under every scale byte.
Mxfp4Tensor some_tensor(const Shape& shape, int block_size) {
  Mxfp4Tensor t;
  t.shape = shape;
  t.block_size = block_size;
  t.codes.resize(static_cast<std::size_t>(t.view().code_bytes()));
  t.scales.resize(static_cast<std::size_t>(t.view().scale_bytes()));
  std::mt19937 random(11);
  for (std::uint8_t& code : t.codes) code = static_cast<std::uint8_t>(random());
  for (std::size_t i = 0; i < t.scales.size(); ++i) t.scales[i] = static_cast<std::uint8_t>(i * 37);
  return t;
}

Bytes whole(const Mxfp4Tensor& t, Dtype dtype) {
  Bytes out(static_cast<std::size_t>(element_count(t.shape) * bits_of(dtype) / 8));
  dequantize(t.view(), dtype, out.data());
  return out;
}

/// [..., N, K] to [..., K, N], element by element.
Bytes turned(const Bytes& bytes, const Shape& shape, std::size_t size) {
  const auto n = static_cast<std::size_t>(shape[shape.size() - 2]),
             k = static_cast<std::size_t>(shape.back());
  Bytes out(bytes.size());
  for (std::size_t i = 0; i < bytes.size() / size; ++i) {
    const std::size_t matrix = i / (n * k), row = i / k % n, column = i % k;
    std::memcpy(out.data() + (matrix * n * k + column * n + row) * size, bytes.data() + i * size, size);
  }
  return out;
}

/// What a sink is given, which must come in order and without gaps.
struct Collector {
  explicit Collector(std::size_t element_size) : size(element_size) {}
  ElementSink sink() {
    return [this](std::int64_t first, std::span<const std::byte> elements) {
      EXPECT_EQ(static_cast<std::size_t>(first) * size, bytes.size());
      bytes.insert(bytes.end(), elements.begin(), elements.end());
      most = std::max(most, elements.size());
    };
  }
  std::size_t size, most = 0;
  Bytes bytes;
};

TEST(DequantizeChunks, GivesAllElementsInOrderThroughAnyBuffer) {
  for (const int block_size : {32, 16}) {
    const Mxfp4Tensor t = some_tensor({3, 5, 70}, block_size);
    for (const Dtype dtype : kDtypes) {
      const auto size = static_cast<std::size_t>(bits_of(dtype) / 8);
      const Bytes expected = whole(t, dtype);
      for (const std::size_t room : {32u, 33u, 69u, 70u, 71u, 300u, 5000u}) {
        SCOPED_TRACE(fmt::format("blocks of {}, {}, room for {}", block_size, to_string(dtype), room));
        Bytes buffer(room * size);
        Collector collector(size);
        dequantize_chunks(t.view(), dtype, buffer, collector.sink());
        EXPECT_EQ(collector.bytes, expected);
        EXPECT_LE(collector.most, buffer.size());
      }
    }
  }
}

TEST(DequantizeChunks, TurnsMatricesThroughAnyBufferThatHoldsTwoColumnsOfBlocks) {
  for (const int block_size : {32, 16}) {
    for (const Shape& shape : {Shape{3, 5, 70}, Shape{2, 1, 64}, Shape{7, 33}, Shape{2, 2, 3, 96}}) {
      const Mxfp4Tensor t = some_tensor(shape, block_size);
      for (const Dtype dtype : kDtypes) {
        SCOPED_TRACE(fmt::format("blocks of {}, {} of {}", block_size, to_string(dtype), to_string(shape)));
        const auto size = static_cast<std::size_t>(bits_of(dtype) / 8);
        const Bytes expected = turned(whole(t, dtype), shape, size);
        const auto column = static_cast<std::size_t>(shape[shape.size() - 2] * block_size) * size;
        for (const std::size_t room : {2 * column, 5 * column, 100 * column}) {
          Bytes buffer(room);
          Collector collector(size);
          dequantize_transposed_chunks(t.view(), dtype, buffer, collector.sink());
          EXPECT_EQ(collector.bytes, expected) << room;
        }
        for (const int threads : {1, 3}) {
          Bytes out(expected.size());
          dequantize_transposed(t.view(), dtype, out.data(), {threads, default_isa()});
          EXPECT_EQ(out, expected) << threads << " threads";
        }
      }
    }
  }
}

TEST(DequantizeChunks, OfNothingGiveNothing) {
  Bytes buffer(100);
  const ElementSink never = [](std::int64_t, std::span<const std::byte>) { FAIL(); };
  for (const Shape& shape : {Shape{0, 4, 32}, Shape{3, 0, 32}, Shape{3, 4, 0}}) {
    const Mxfp4Tensor t = some_tensor(shape, 32);
    dequantize_chunks(t.view(), Dtype::bf16, buffer, never);
    dequantize_transposed_chunks(t.view(), Dtype::bf16, buffer, never);
    dequantize_transposed(t.view(), Dtype::bf16, nullptr);
  }
}

TEST(DequantizeChunks, RefusesWhatCannotBe) {
  const Mxfp4Tensor t = some_tensor({4, 64}, 32);
  Bytes buffer(1000);
  const ElementSink ignore = [](std::int64_t, std::span<const std::byte>) {};
  EXPECT_THROW(dequantize_chunks(t.view(), Dtype::f32, std::span(buffer).first(127), ignore), Error);
  EXPECT_THROW(dequantize_chunks(t.view(), Dtype::u8, buffer, ignore), Error);
  EXPECT_THROW(dequantize_transposed_chunks(t.view(), Dtype::f32, buffer, ignore), Error);  // 1024 are needed
  EXPECT_THROW(dequantize_transposed(some_tensor({64}, 32).view(), Dtype::f32, buffer.data()), Error);
}

}  // namespace
}  // namespace mxfp4
