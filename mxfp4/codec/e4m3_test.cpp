#include "mxfp4/codec/e4m3.h"

#include <cmath>

#include <gtest/gtest.h>

#include "mxfp4/codec/e2m1.h"

namespace mxfp4 {
namespace {

static_assert(e4m3_value(0x7E) == 448.0f && e4m3_value(0x08) == 0x1p-6f && e4m3_value(0x01) == 0x1p-9f);

TEST(E4m3, IsSignExponentAndMantissa) {
  for (int byte = 0; byte < 256; ++byte) {
    const float value = e4m3_value(static_cast<std::uint8_t>(byte));
    const int exponent = byte >> 3 & 15, mantissa = byte & 7;
    EXPECT_EQ(std::signbit(value), byte >= 128) << byte;
    if (exponent == 15 && mantissa == 7) {
      EXPECT_TRUE(std::isnan(value)) << byte;
    } else {
      const double magnitude =
          exponent == 0 ? std::ldexp(mantissa / 8.0, -6) : std::ldexp(1 + mantissa / 8.0, exponent - 7);
      EXPECT_EQ(std::fabs(value), magnitude) << byte;
    }
  }
}

TEST(E4m3, HasEighteenPowersOfTwo) {
  for (int k = kE4m3LeastPower; k <= kE4m3LargestPower; ++k)
    EXPECT_EQ(e4m3_value(e4m3_power(k)), std::ldexp(1.0f, k)) << k;
  for (const int k : {kE4m3LeastPower - 1, kE4m3LargestPower + 1}) {
    for (int byte = 0; byte < 256; ++byte)
      EXPECT_NE(e4m3_value(static_cast<std::uint8_t>(byte)), std::ldexp(1.0f, k));
  }
}

TEST(E4m3, HoldsAShiftedCodeExactlyWhereAnyByteDoes) {
  for (int shift = -400; shift <= 400; ++shift) {
    for (std::uint8_t code = 0; code < 16; ++code) {
      const double value = std::ldexp(static_cast<double>(e2m1_value(code)), shift);
      int expected = -1;
      for (int byte = 0; byte < 256; ++byte) {
        const float held = e4m3_value(static_cast<std::uint8_t>(byte));
        if (held == value && std::signbit(held) == std::signbit(value)) expected = byte;
      }
      EXPECT_EQ(e4m3_of_e2m1(code, shift), expected) << "code " << int{code} << ", 2^" << shift;
    }
  }
}

}  // namespace
}  // namespace mxfp4
