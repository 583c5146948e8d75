#include <vector>

#include <gtest/gtest.h>

#include "mxfp4/layer/test_layer_internal.h"
#include "mxfp4/layer/weight_stack_internal.h"

namespace mxfp4 {
namespace {

using Floats = std::vector<float>;

TEST(WeightStack, AnEnvelopeHasTheSmallestMeansAndTheLargestSquares) {
  Spread all;
  all.widen({{1, 0.5f}, {1, 2}, 1.5f, 1});
  all.widen({{0.75f, 2}, {3, 1}, 2, 0.25f});
  all.widen({});  // of zeros only
  all.widen({{1, 1}, {1, 1}, 1, 0.5f});
  EXPECT_EQ(all.means, (Floats{0.75f, 0.5f}));
  EXPECT_EQ(all.squares, (Floats{3, 2}));
  EXPECT_EQ(all.mean_square, 2);
  EXPECT_EQ(all.fill, 0.25f);
}

// However many threads pack at once: matrices of zeros do not count, wherever they stand.
TEST(WeightStack, PlansDoNotDependOnThreads) {
  const Mxfp4Tensor weight = test::random_weight(32, 320, 120, 120, 1);
  Mxfp4Tensor zeros = weight;
  zeros.codes.assign(zeros.codes.size(), 0);
  const Floats x = test::normal(320, 2);
  for (const int threads : {1, 2, 3, 8}) {
    const WeightStack stack("stack", {zeros.view(), zeros.view(), weight.view(), zeros.view()}, {},
                            {.context = {.threads = threads}});
    EXPECT_EQ(stack.plan(x.data(), kernel::Activation::exact).format, kernel::TokenFormat::digits3);
  }
}

// A NaN scale anywhere: what is planned for both stacks keeps floats.
TEST(WeightStack, PlansForAnotherStackWhoseScalesAreOdd) {
  const Mxfp4Tensor plain = test::random_weight(32, 320, 120, 120, 1);
  Mxfp4Tensor odd = plain;
  odd.scales[17] = 255;
  const Floats x = test::normal(320, 2);
  for (const bool pack : {true, false}) {
    WeightStack first("first", {plain.view()}, {}, {.pack = pack});
    const WeightStack second("second", {odd.view()}, {}, {.pack = pack});
    EXPECT_NE(first.plan(x.data(), kernel::Activation::exact).format, kernel::TokenFormat::floats);
    EXPECT_EQ(second.plan(x.data(), kernel::Activation::exact).format, kernel::TokenFormat::floats);
    first.plan_for(second);
    EXPECT_EQ(first.plan(x.data(), kernel::Activation::exact).format, kernel::TokenFormat::floats);
  }
}

}  // namespace
}  // namespace mxfp4
