#include "mxfp4/codec/e2m1.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

namespace mxfp4 {
namespace {

constexpr Ties kAllTies[] = {Ties::even, Ties::zero, Ties::away};

static_assert(e2m1_value(5) == 3.0f && e2m1_value(13) == -3.0f);
static_assert(e2m1_encode_magnitude(2.5, Ties::even) == 4 && e2m1_encode_magnitude(2.5, Ties::away) == 5);

TEST(E2m1, HasTheSixteenValuesOfTheSpecification) {
  // sign, exponent (bias 1) and mantissa of two and one bits; exponent 0 is subnormal
  for (int code = 0; code < 16; ++code) {
    const int exponent = (code >> 1) & 3, mantissa = code & 1;
    const double magnitude = exponent == 0 ? 0.5 * mantissa : std::ldexp(1 + 0.5 * mantissa, exponent - 1);
    const float value = e2m1_value(static_cast<std::uint8_t>(code));
    EXPECT_EQ(std::fabs(value), magnitude) << "code " << code;
    EXPECT_EQ(std::signbit(value), code >= 8) << "code " << code;
  }
}

TEST(E2m1, MidpointsLieHalfwayBetweenNeighbours) {
  for (int c = 0; c < 7; ++c) {
    EXPECT_EQ(kE2m1Midpoints[c], (kE2m1Magnitudes[c] + kE2m1Magnitudes[c + 1]) / 2) << "code " << c;
  }
}

TEST(E2m1, SendsEveryTieWhereTheRuleSays) {
  const int even[7] = {0, 2, 2, 4, 4, 6, 6};
  for (int c = 0; c < 7; ++c) {
    const double midpoint = kE2m1Midpoints[c];
    EXPECT_EQ(e2m1_encode_magnitude(midpoint, Ties::even), even[c]) << midpoint;
    EXPECT_EQ(e2m1_encode_magnitude(midpoint, Ties::zero), c) << midpoint;
    EXPECT_EQ(e2m1_encode_magnitude(midpoint, Ties::away), c + 1) << midpoint;
  }
}

TEST(E2m1, SeesTheSmallestStepBesideEveryMidpoint) {
  for (const Ties ties : kAllTies) {
    for (int c = 0; c < 7; ++c) {
      const double midpoint = kE2m1Midpoints[c];
      EXPECT_EQ(e2m1_encode_magnitude(std::nextafter(midpoint, 0.0), ties), c) << midpoint;
      EXPECT_EQ(e2m1_encode_magnitude(std::nextafter(midpoint, 9.0), ties), c + 1) << midpoint;
    }
  }
}

TEST(E2m1, RoundsToTheNearestValueElsewhere) {
  for (const Ties ties : kAllTies) {
    for (int i = 0; i <= 6 * 4096; ++i) {
      const double v = (i + 0.3) / 4096;  // never a tie
      const double value = kE2m1Magnitudes[e2m1_encode_magnitude(v, ties)];
      for (const double other : kE2m1Magnitudes) EXPECT_LE(std::fabs(v - value), std::fabs(v - other)) << v;
    }
  }
}

TEST(E2m1, SaturatesAboveSix) {
  for (const Ties ties : kAllTies) {
    for (const double v : {5.1, 6.0, 6.5, 7.0, 8.0, 1e300, std::numeric_limits<double>::infinity()}) {
      EXPECT_EQ(e2m1_encode_magnitude(v, ties), 7) << v;
    }
  }
}

}  // namespace
}  // namespace mxfp4
