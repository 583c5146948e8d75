#include "mxfp4/kernel/error_stats.h"

#include <cmath>

#include <gtest/gtest.h>

namespace mxfp4 {
namespace {

TEST(ErrorStats, GivesTheRatioInDecibels) {
  ErrorStats stats;
  stats.signal = 1000;
  stats.noise = 1;
  EXPECT_DOUBLE_EQ(stats.sqnr_db(), 30);
}

TEST(ErrorStats, IsInfiniteWhereNothingWasLost) {
  ErrorStats stats;
  stats.signal = 5;
  EXPECT_TRUE(std::isinf(stats.sqnr_db()));
  EXPECT_GT(stats.sqnr_db(), 0);
}

TEST(ErrorStats, AddsEveryField) {
  ErrorStats a, b;
  b.signal = 1, b.noise = 2, b.elements = 3, b.blocks = 4, b.lossless_blocks = 5, b.saturated = 6;
  b.scales[0] = 7, b.scales[255] = 8;
  a.add(b);
  a.add(b);
  EXPECT_EQ(a.signal, 2);
  EXPECT_EQ(a.noise, 4);
  EXPECT_EQ(a.elements, 6u);
  EXPECT_EQ(a.blocks, 8u);
  EXPECT_EQ(a.lossless_blocks, 10u);
  EXPECT_EQ(a.saturated, 12u);
  EXPECT_EQ(a.scales[0], 14u);
  EXPECT_EQ(a.scales[255], 16u);
}

}  // namespace
}  // namespace mxfp4
