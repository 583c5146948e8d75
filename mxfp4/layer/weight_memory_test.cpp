#include <cstdint>
#include <cstring>
#include <new>
#include <vector>

#include <gtest/gtest.h>

#include "mxfp4/layer/weight_memory_internal.h"

namespace mxfp4 {
namespace {

constexpr std::size_t kMegabyte = 1 << 20;

std::uintptr_t place(const WeightMemory& memory) {
  return reinterpret_cast<std::uintptr_t>(memory.data());
}

TEST(WeightMemory, BeginsOnALine) {
  for (const std::size_t bytes : {std::size_t{0}, std::size_t{1}, 100 * kMegabyte + 1, 3 * kMegabyte + 7}) {
    const WeightMemory memory(bytes);
    EXPECT_NE(memory.data(), nullptr);
    EXPECT_EQ(place(memory) % 64, 0u) << bytes;
  }
}

TEST(WeightMemory, LargePiecesLieSideBySideInHugePages) {
  const std::size_t bytes = 3 * kMegabyte + 64;
  const WeightMemory large(40 * kMegabyte);  // a region of its own, with nothing left
  const WeightMemory first(bytes), second(bytes);
  EXPECT_EQ(place(first) % (2 * kMegabyte), 0u);
  EXPECT_EQ(place(second), place(first) + bytes);
}

TEST(WeightMemory, PiecesOutliveTheirNeighbours) {
  std::vector<WeightMemory> pieces;
  const std::size_t bytes = 2 * kMegabyte + 64;
  for (int i = 0; i < 40; ++i) {
    pieces.emplace_back(bytes);
    std::memset(pieces.back().data(), i, bytes);
  }
  for (std::size_t i = 0; i < 40; i += 2) pieces[i] = {};
  for (std::size_t i = 1; i < 40; i += 2) {
    const std::byte* const data = pieces[i].data();
    const auto value = static_cast<std::byte>(i);
    EXPECT_TRUE(data[0] == value && data[bytes / 2] == value && data[bytes - 1] == value) << i;
  }
}

TEST(WeightMemory, TooMuchIsBadAlloc) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer ends the program where memory is refused";
#endif
  EXPECT_THROW(WeightMemory(SIZE_MAX), std::bad_alloc);
  EXPECT_THROW(WeightMemory(std::size_t{1} << 60), std::bad_alloc);
}

}  // namespace
}  // namespace mxfp4
