#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "mxfp4/codec/float16.h"
#include "mxfp4/job/content_scan_internal.h"

namespace mxfp4::job {
namespace {

std::vector<std::byte> random_bytes(std::size_t size, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<std::byte> bytes(size);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

TEST(ContentScan, FindsEveryNonFiniteNumber) {
  // Every bit pattern of 16 bits and of 8, at an odd address.
  std::vector<std::byte> bytes(1 + 2 * 65536);
  for (std::size_t i = 0; i < 65536; ++i) {
    const auto word = static_cast<std::uint16_t>(i);
    std::memcpy(&bytes[1 + 2 * i], &word, 2);
  }
  const std::span<const std::byte> words = std::span(bytes).subspan(1);
  std::uint64_t f16 = 0, bf16 = 0;
  for (std::uint32_t i = 0; i < 65536; ++i) {
    f16 += !std::isfinite(f16_to_f32(static_cast<std::uint16_t>(i)));
    bf16 += !std::isfinite(bf16_to_f32(static_cast<std::uint16_t>(i)));
  }
  EXPECT_EQ(find_nonfinite(Dtype::f16, words).count, f16);
  EXPECT_EQ(find_nonfinite(Dtype::f16, words).first, 0x7C00u);
  EXPECT_EQ(find_nonfinite(Dtype::bf16, words).count, bf16);
  EXPECT_EQ(find_nonfinite(Dtype::bf16, words).first, 0x7F80u);

  std::vector<std::byte> all(256);
  for (std::size_t i = 0; i < 256; ++i) all[i] = static_cast<std::byte>(i);
  EXPECT_EQ(find_nonfinite(Dtype::f8_e4m3, all).count, 2u);
  EXPECT_EQ(find_nonfinite(Dtype::f8_e4m3, all).first, 0x7Fu);
  EXPECT_EQ(find_nonfinite(Dtype::f8_e5m2, all).count, 8u);
  EXPECT_EQ(find_nonfinite(Dtype::f8_e5m2, all).first, 0x7Cu);
  EXPECT_EQ(find_nonfinite(Dtype::f8_e8m0, all).count, 1u);
  EXPECT_EQ(find_nonfinite(Dtype::f8_e8m0, all).first, 255u);
  EXPECT_EQ(find_nonfinite(Dtype::i32, words).count, 0u);
  EXPECT_FALSE(can_be_nonfinite(Dtype::i32));
  EXPECT_TRUE(can_be_nonfinite(Dtype::f32));
}

template <class Number>
void expect_found_anywhere(Dtype dtype) {
  for (const std::size_t size : {1, 2, 15, 4096, 4097, 10000}) {
    std::vector<Number> numbers(size, std::numeric_limits<Number>::max());
    EXPECT_EQ(find_nonfinite(dtype, std::as_bytes(std::span(numbers))).count, 0u);
    for (const Number bad :
         {std::numeric_limits<Number>::quiet_NaN(), -std::numeric_limits<Number>::infinity()}) {
      for (const std::size_t at : {std::size_t{0}, size / 2, size - 1}) {
        std::vector<Number> copy = numbers;
        copy[at] = bad;
        const Found found = find_nonfinite(dtype, std::as_bytes(std::span(copy)));
        EXPECT_EQ(found.count, 1u) << to_string(dtype) << " " << size << " " << at;
        EXPECT_EQ(found.first, at);
      }
    }
  }
}

TEST(ContentScan, FindsOneInManyWhereverItStands) {
  expect_found_anywhere<float>(Dtype::f32);
  expect_found_anywhere<double>(Dtype::f64);
}

TEST(ContentScan, PartsAddUp) {
  Found found;
  found.add({}, 0);
  found.add({2, 5}, 100);
  found.add({1, 7}, 0);
  found.add({}, 300);
  EXPECT_EQ(found.count, 3u);
  EXPECT_EQ(found.first, 7u);
}

TEST(ContentScan, CountsCodes) {
  for (const unsigned seed : {1u, 2u}) {
    std::vector<std::byte> codes = random_bytes(1 + 16 * 1000, seed);
    for (std::size_t block = 0; block < 1000; block += 7) {  // some without a number but 0 and -0
      for (std::size_t i = 0; i < 16; ++i) codes[1 + 16 * block + i] &= std::byte{0x88};
    }
    const std::span<const std::byte> blocks = std::span(codes).subspan(1);
    std::uint64_t negative_zeros = 0, saturated = 0, zero_blocks = 0;
    for (std::size_t block = 0; block < 1000; ++block) {
      bool zero = true;
      for (std::size_t i = 0; i < 32; ++i) {
        const unsigned code = std::to_integer<unsigned>(blocks[16 * block + i / 2]) >> (4 * (i % 2)) & 15;
        negative_zeros += code == 8;
        saturated += code % 8 == 7;
        zero = zero && code % 8 == 0;
      }
      zero_blocks += zero;
    }
    const CodeCounts counts = count_codes(blocks);
    EXPECT_EQ(counts.negative_zeros, negative_zeros) << "seed " << seed;
    EXPECT_EQ(counts.saturated, saturated);
    EXPECT_EQ(counts.zero_blocks, zero_blocks);
    EXPECT_EQ(counts.blocks, 1000u);
    EXPECT_EQ(counts.codes, 32000u);
  }
  const std::vector<std::byte> sixes(16 * 300, std::byte{0xF7});
  EXPECT_EQ(count_codes(sixes).saturated, 32u * 300);
  EXPECT_EQ(count_codes(std::vector<std::byte>(16 * 300, std::byte{0x88})).negative_zeros, 32u * 300);
}

TEST(ContentScan, CountsBytes) {
  for (const std::size_t size : {0, 1, 2, 3, 4, 5, 1000, 4099}) {
    const std::vector<std::byte> bytes = random_bytes(size, 3);
    ByteCounts expected = {};
    for (const std::byte byte : bytes) ++expected[std::to_integer<std::size_t>(byte)];
    EXPECT_EQ(count_bytes(bytes), expected) << size;
  }
}

}  // namespace
}  // namespace mxfp4::job
