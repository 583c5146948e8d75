// The quality of every scale rule on four distributions, against figures measured on 33.5 million samples
// each.
#include <algorithm>
#include <functional>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "mxfp4/quantize/quantize.h"

namespace mxfp4 {
namespace {

constexpr std::int64_t kRows = 512, kColumns = 4096;

using Random = std::mt19937_64;

struct Distribution {
  const char* name;
  double tolerance;  ///< dB
  std::function<double(Random&)> sample;
};

std::vector<Distribution> distributions() {
  return {
      {"N(0,1)", 0.05, std::normal_distribution<double>()},
      {"Laplace", 0.05,
       [exponential = std::exponential_distribution<double>()](Random& random) mutable {
         const double magnitude = exponential(random);
         return random() % 2 == 0 ? magnitude : -magnitude;
       }},
      {"Student t(4)", 0.1, std::student_t_distribution<double>(4)},
      {"U(-1,1)", 0.05, std::uniform_real_distribution<double>(-1, 1)},
  };
}

struct Expected {
  ScaleRule rule;
  double sqnr_db[4];  ///< by distribution
};

constexpr Expected kExpected[] = {
    {ScaleRule::floor6, {13.84, 13.49, 13.13, 16.83}}, {ScaleRule::round6, {18.31, 17.51, 17.22, 16.83}},
    {ScaleRule::floor, {18.79, 17.94, 17.63, 16.83}},  {ScaleRule::t725, {19.04, 18.21, 17.87, 20.10}},
    {ScaleRule::even, {19.03, 18.14, 17.78, 20.11}},   {ScaleRule::rceil, {18.76, 17.58, 17.13, 20.10}},
    {ScaleRule::ceil, {16.82, 15.38, 14.81, 20.10}},   {ScaleRule::optimal, {19.05, 18.22, 17.89, 20.11}},
};
static_assert(std::size(kExpected) == std::size(kScaleRules));

TEST(Sqnr, OfEveryRuleIsAsMeasured) {
  std::size_t column = 0;
  for (Distribution& distribution : distributions()) {
    Random random(59);
    std::vector<float> x(kRows * kColumns);
    for (float& element : x) element = static_cast<float>(distribution.sample(random));
    double best = 0, optimal = 0;
    for (const Expected& expected : kExpected) {
      ErrorStats stats;
      quantize(dense_view(x.data(), Dtype::f32, {kRows, kColumns}), {{expected.rule}}, &stats);
      EXPECT_NEAR(stats.sqnr_db(), expected.sqnr_db[column], distribution.tolerance)
          << info(expected.rule).name << " on " << distribution.name << ", seed 59";
      best = std::max(best, stats.sqnr_db());
      if (expected.rule == ScaleRule::optimal) optimal = stats.sqnr_db();
    }
    EXPECT_EQ(optimal, best) << distribution.name << ", seed 59";
    ++column;
  }
}

}  // namespace
}  // namespace mxfp4
