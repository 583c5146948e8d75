#include "mxfp4/base/crc32c.h"

#include <algorithm>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

namespace mxfp4 {
namespace {

using Bytes = std::vector<std::byte>;

std::uint32_t crc(std::span<const std::byte> bytes) {
  FileCrc32c sum(bytes.size());
  sum.add(0, bytes);
  return sum.value();
}

Bytes random_bytes(std::size_t size) {
  std::mt19937 random(7);
  Bytes bytes(size);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

// RFC 3720, appendix B.4, and the check value of the catalogue of CRCs.
TEST(Crc32c, HasThePublishedValues) {
  EXPECT_EQ(crc({}), 0u);
  EXPECT_EQ(crc(std::as_bytes(std::span(std::string_view("123456789")))), 0xE3069283u);
  Bytes bytes(32);
  EXPECT_EQ(crc(bytes), 0x8A9136AAu);
  std::fill(bytes.begin(), bytes.end(), std::byte{0xFF});
  EXPECT_EQ(crc(bytes), 0x62A8AB43u);
  for (std::size_t i = 0; i < 32; ++i) bytes[i] = static_cast<std::byte>(i);
  EXPECT_EQ(crc(bytes), 0x46DD794Eu);
  std::reverse(bytes.begin(), bytes.end());
  EXPECT_EQ(crc(bytes), 0x113FDB5Cu);
}

TEST(Crc32c, TheInstructionAndTheTablesAgree) {
  const crc32c::Remainder accelerated = crc32c::accelerated();
  if (accelerated == nullptr) GTEST_SKIP() << "this processor has no instruction for it";
  const Bytes bytes = random_bytes(70'000);
  for (const std::size_t size : {0, 1, 7, 8, 9, 1000, 16'383, 16'384, 16'385, 69'990}) {
    for (const std::size_t begin : {0, 3}) {
      const auto piece = std::span(bytes).subspan(begin, size);
      EXPECT_EQ(accelerated(0x12345678, piece), crc32c::portable(0x12345678, piece)) << size;
    }
  }
}

TEST(Crc32c, PiecesMayComeInAnyOrder) {
  const Bytes bytes = random_bytes(100'000);
  std::mt19937 random(8);
  for (int trial = 0; trial < 20; ++trial) {
    std::vector<std::size_t> cuts = {0, bytes.size()};
    for (int i = 0; i < 9; ++i) cuts.push_back(random() % bytes.size());
    std::sort(cuts.begin(), cuts.end());
    std::vector<std::size_t> order = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
    std::shuffle(order.begin(), order.end(), random);
    FileCrc32c sum(bytes.size());
    for (const std::size_t i : order) {
      sum.add(cuts[i], std::span(bytes).subspan(cuts[i], cuts[i + 1] - cuts[i]));
    }
    EXPECT_EQ(sum.value(), crc(bytes));
  }
}

TEST(Crc32c, APieceIsWorthSomethingElseInAnotherPlace) {
  const Bytes bytes = random_bytes(64);
  FileCrc32c swapped(64);
  swapped.add(32, std::span(bytes).first(32));
  swapped.add(0, std::span(bytes).last(32));
  EXPECT_NE(swapped.value(), crc(bytes));
}

TEST(Crc32c, FilesMayBeLargerThanMemory) {
  constexpr std::uint64_t kSize = std::uint64_t{1} << 40;
  const Bytes bytes = random_bytes(16);
  FileCrc32c one(kSize), other(kSize);
  one.add(kSize - 16, bytes);
  other.add(kSize - 32, bytes);
  EXPECT_NE(one.value(), other.value());
}

}  // namespace
}  // namespace mxfp4
