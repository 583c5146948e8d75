#include "mxfp4/tensor/shape.h"

#include <cstdint>
#include <optional>

#include <gtest/gtest.h>

namespace mxfp4 {
namespace {

constexpr std::int64_t kBig = std::int64_t{1} << 40;

TEST(Shape, IsWrittenInBrackets) {
  EXPECT_EQ(to_string(Shape{}), "[]");
  EXPECT_EQ(to_string(Shape{32, 5760, 90}), "[32, 5760, 90]");
}

TEST(Shape, OfAScalarHasOneElement) {
  EXPECT_EQ(element_count(Shape{}), 1);
  EXPECT_EQ(byte_size(Dtype::f32, {}), 4u);
}

TEST(Shape, CountsElementsAndBytes) {
  EXPECT_EQ(element_count(Shape{3, 4, 5}), 60);
  EXPECT_EQ(byte_size(Dtype::bf16, {3, 4, 5}), 120u);
  EXPECT_EQ(byte_size(Dtype::f64, {3, 0, 5}), 0u);
}

TEST(Shape, OfSubByteElementsMustFillBytes) {
  EXPECT_EQ(byte_size(Dtype::f4, {4, 3}), 6u);
  EXPECT_EQ(byte_size(Dtype::f4, {3, 3}), std::nullopt);
  EXPECT_EQ(byte_size(Dtype::f4, {}), std::nullopt);
  EXPECT_EQ(byte_size(Dtype::f6_e2m3, {4}), 3u);
  EXPECT_EQ(byte_size(Dtype::f6_e3m2, {2}), std::nullopt);
}

TEST(Shape, HasNoByteSizeWithANegativeSize) {
  EXPECT_EQ(byte_size(Dtype::u8, {-1}), std::nullopt);
  EXPECT_EQ(byte_size(Dtype::u8, {-2, -2}), std::nullopt);
  EXPECT_EQ(byte_size(Dtype::u8, {0, -1}), std::nullopt);
}

TEST(Shape, HasNoByteSizeWhenAProductOverflows) {
  EXPECT_EQ(byte_size(Dtype::u8, {kBig, kBig}), std::nullopt);
  EXPECT_EQ(byte_size(Dtype::u8, {kBig, kBig, 0}), std::nullopt);  // as safetensors: a 0 that comes too late
  EXPECT_EQ(byte_size(Dtype::u8, {0, kBig, kBig}), 0u);
  EXPECT_EQ(byte_size(Dtype::u64, {std::int64_t{1} << 58}), std::nullopt);  // 2^64 bits
  EXPECT_EQ(byte_size(Dtype::u64, {(std::int64_t{1} << 58) - 1}), (std::uint64_t{1} << 61) - 8);
}

TEST(Shape, MayPassTwoToThe63OnItsWayToZero) {
  const Shape shape = {std::int64_t{1} << 62, 2, 0};
  EXPECT_EQ(byte_size(Dtype::u8, shape), 0u);
  EXPECT_EQ(element_count(shape), 0);
}

}  // namespace
}  // namespace mxfp4
