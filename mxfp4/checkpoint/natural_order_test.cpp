#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "mxfp4/checkpoint/model_files.h"

namespace mxfp4 {
namespace {

TEST(NaturalOrder, CountsNumbersByValue) {
  EXPECT_TRUE(natural_less("layers.2.w", "layers.10.w"));
  EXPECT_FALSE(natural_less("layers.10.w", "layers.2.w"));
  EXPECT_TRUE(natural_less("layers.2", "layers.2.w"));
  EXPECT_TRUE(natural_less("a9", "ab"));
  EXPECT_TRUE(natural_less("x99999999999999999999998", "x99999999999999999999999"));
  EXPECT_TRUE(natural_less("x9", "x10000000000000000000000000"));
}

TEST(NaturalOrder, IsATotalOrder) {
  const std::vector<std::string> names = {"",     "0",     "00",  "1",  "01",   "001", "1a",  "01a",
                                          "2",    "10",    "a",   "a0", "a1",   "a01", "a1b", "a01b",
                                          "a1.2", "a01.1", "a10", "aa", "\xFF", "A",   "a.1", "a.b"};
  for (const std::string& a : names) {
    EXPECT_FALSE(natural_less(a, a)) << a;
    for (const std::string& b : names) {
      EXPECT_TRUE(a == b || natural_less(a, b) != natural_less(b, a)) << a << " " << b;
      for (const std::string& c : names) {
        EXPECT_TRUE(!natural_less(a, b) || !natural_less(b, c) || natural_less(a, c))
            << a << " " << b << " " << c;
      }
    }
  }
}

}  // namespace
}  // namespace mxfp4
