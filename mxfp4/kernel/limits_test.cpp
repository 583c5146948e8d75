#include <chrono>
#include <string>

#include <gtest/gtest.h>
#include <sys/mman.h>

#include "mxfp4/kernel/limit_ops.h"

namespace mxfp4::kernel {
namespace {

class Limits : public testing::TestWithParam<Isa> {
 protected:
  void SetUp() override {
    if (!supported(GetParam())) GTEST_SKIP() << "this machine lacks " << to_string(GetParam());
  }
  const LimitOps& ops() const { return cpu_limit_ops(GetParam()); }
};

using Peak = double (*)(std::size_t) noexcept;

// A loop that a compiler had removed, or had computed once for all rounds, would do more than any core can.
TEST_P(Limits, PeaksAreComputedInEveryRound) {
  constexpr std::size_t kRounds = 1 << 18;
  constexpr double kBeyondAnyCore = 5e12;
  for (const Peak peak : {ops().int8_dots, ops().f32_fmas}) {
    EXPECT_GT(peak(1), 0);
    const auto begin = std::chrono::steady_clock::now();
    const double operations = peak(kRounds);
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
    EXPECT_EQ(operations, peak(1) * kRounds);
    EXPECT_LT(operations / taken.count(), kBeyondAnyCore);
  }
}

// Pages that were never touched cannot be read without becoming resident; what lies behind cannot be read.
TEST_P(Limits, ReadsEveryPageAndNothingBehindTheLast) {
  constexpr std::size_t kPage = 4096, kPages = 12;
  for (const int streams : {1, 2, 4}) {
    for (const std::size_t prefetch : {std::size_t{0}, kPage}) {
      void* const map =
          ::mmap(nullptr, (kPages + 1) * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      ASSERT_NE(map, MAP_FAILED);
      ASSERT_EQ(::mprotect(static_cast<std::byte*>(map) + kPages * kPage, kPage, PROT_NONE), 0);
      ops().read({map, kPages * kPage, streams, prefetch});
      unsigned char resident[kPages + 1] = {};
      ASSERT_EQ(::mincore(map, kPages * kPage, resident), 0);
      for (std::size_t page = 0; page < kPages; ++page) {
        EXPECT_EQ(resident[page] & 1, 1) << streams << " streams, page " << page;
      }
      ::munmap(map, (kPages + 1) * kPage);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Isas, Limits, testing::ValuesIn(built_isas()),
                         [](const auto& isa) { return std::string(to_string(isa.param)); });

}  // namespace
}  // namespace mxfp4::kernel
