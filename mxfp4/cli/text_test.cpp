#include "mxfp4/cli/text.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "mxfp4/base/error.h"

namespace mxfp4::cli {
namespace {

TEST(Text, WritesBytesWithThreeDigits) {
  EXPECT_EQ(format_bytes(0), "0 bytes");
  EXPECT_EQ(format_bytes(999), "999 bytes");
  EXPECT_EQ(format_bytes(1000), "1.00 kB");
  EXPECT_EQ(format_bytes(99960), "100 kB");
  EXPECT_EQ(format_bytes(13'761'264'768.0), "13.8 GB");
  EXPECT_EQ(format_bytes(999'600'000.0), "1.00 GB");
}

TEST(Text, GroupsDigitsByThree) {
  EXPECT_EQ(format_count(0), "0");
  EXPECT_EQ(format_count(999), "999");
  EXPECT_EQ(format_count(1000), "1,000");
  EXPECT_EQ(format_count(18446744073709551615u), "18,446,744,073,709,551,615");
}

TEST(Text, WritesTimesAsLongAsTheyAre) {
  EXPECT_EQ(format_seconds(0.4211), "0.42 s");
  EXPECT_EQ(format_seconds(59.94), "59.9 s");
  EXPECT_EQ(format_seconds(59.96), "1 min 00 s");
  EXPECT_EQ(format_seconds(125), "2 min 05 s");
  EXPECT_EQ(format_seconds(7325), "2 h 02 min");
  EXPECT_EQ(format_clock(7), "0:07");
  EXPECT_EQ(format_clock(3723), "1:02:03");
}

TEST(Text, NeverRoundsAShareToNothingOrAll) {
  EXPECT_EQ(format_percent(0, 10), "0 %");
  EXPECT_EQ(format_percent(10, 10), "100 %");
  EXPECT_EQ(format_percent(1, 1e9), "< 0.01 %");
  EXPECT_EQ(format_percent(1e9 - 1, 1e9), "> 99.99 %");
  EXPECT_EQ(format_percent(1, 3), "33.3 %");
  EXPECT_EQ(format_percent(1, 0), "0 %");
}

TEST(Text, CallsInfiniteSqnrLossless) {
  EXPECT_EQ(format_decibels(std::numeric_limits<double>::infinity()), "lossless");
  EXPECT_EQ(format_decibels(19.0512), "19.05 dB");
  EXPECT_EQ(format_decibels(std::nan("")), "-");
}

TEST(Text, ShortensInTheMiddle) {
  EXPECT_EQ(shorten("model.layers", 12, false), "model.layers");
  EXPECT_EQ(shorten("model.layers.0.mlp", 12, false), "model..0.mlp");
  EXPECT_EQ(columns(shorten("model.layers.0.mlp", 12, true)), 12);
  EXPECT_EQ(columns(shorten("m\u00f6del.l\u00e4yers.0.mlp", 9, true)), 9);
}

TEST(Text, WrapsAtTheWidth) {
  EXPECT_EQ(wrap({"aaa,", "bbb,", "ccc"}, 2, 10), "  aaa,\n  bbb, ccc\n");
  EXPECT_EQ(wrap({"longer than it all"}, 2, 10), "  longer than it all\n");
  EXPECT_EQ(flow("one two three", 1, 8), " one two\n three\n");
}

TEST(Text, ReadsSizesInPowersOf1024) {
  EXPECT_EQ(parse_size("4096"), 4096u);
  EXPECT_EQ(parse_size("512M"), 512u << 20);
  EXPECT_EQ(parse_size("2G"), 2ull << 30);
  EXPECT_EQ(parse_size("1.5k"), 1536u);
  for (const char* bad :
       {"", "M", "12X", "12MB", "-1", "1e9", "nan", "inf", "0", "0.5", "99999999999999G", "1 G"}) {
    EXPECT_THROW(parse_size(bad), Error) << bad;
  }
}

}  // namespace
}  // namespace mxfp4::cli
