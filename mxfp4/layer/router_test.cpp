#include "mxfp4/layer/router.h"

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "mxfp4/base/test_error_internal.h"
#include "mxfp4/codec/float16.h"
#include "mxfp4/layer/test_allocations_internal.h"
#include "mxfp4/layer/test_layer_internal.h"

namespace mxfp4 {
namespace {

struct Chosen {
  std::vector<std::int32_t> ids;
  std::vector<float> weights;
};

Chosen choose(const std::vector<float>& logits, const RouterOptions& options, std::int64_t tokens = 1) {
  const auto slots = static_cast<std::size_t>(tokens * options.top_k);
  Chosen chosen{std::vector<std::int32_t>(slots, -9), std::vector<float>(slots)};
  const auto experts = static_cast<std::int64_t>(logits.size()) / tokens;
  choose_experts(dense_view(logits.data(), Dtype::f32, {tokens, experts}), options,
                 {chosen.ids.data(), chosen.weights.data()});
  return chosen;
}

using Ids = std::vector<std::int32_t>;

TEST(Router, TakesTheLargestInOrderAndTheLowerIndexOfEquals) {
  EXPECT_EQ(choose({1, 5, 3, 5, 2}, {.top_k = 3}).ids, (Ids{1, 3, 2}));
  EXPECT_EQ(choose({4, 4, 4, 4}, {.top_k = 2}).ids, (Ids{0, 1}));
  EXPECT_EQ(choose({-1, -3, -2}, {.top_k = 3}).ids, (Ids{0, 2, 1}));
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(choose({-infinity, 0, -infinity}, {.top_k = 2}).ids, (Ids{1, 0}));
}

TEST(Router, RenormalisesOverTheChosenOrOverAll) {
  const std::vector<float> logits = {std::log(1.0f), std::log(4.0f), std::log(3.0f)};
  const Chosen chosen = choose(logits, {.top_k = 2});
  EXPECT_FLOAT_EQ(chosen.weights[0], 4.0f / 7);
  EXPECT_FLOAT_EQ(chosen.weights[1], 3.0f / 7);
  const Chosen all = choose(logits, {.top_k = 2, .renormalize = false, .factor = 2});
  EXPECT_FLOAT_EQ(all.weights[0], 1.0f);
  EXPECT_FLOAT_EQ(all.weights[1], 0.75f);
  // Logits whose exponentials f32 does not hold.
  EXPECT_FLOAT_EQ(choose({1000, 1000}, {.top_k = 2}).weights[1], 0.5f);
  EXPECT_FLOAT_EQ(choose({-1000, -1000}, {.top_k = 2}).weights[1], 0.5f);
}

TEST(Router, HasTheOtherScores) {
  const Chosen sigmoid =
      choose({0, 2, -1}, {.top_k = 2, .score = RouterScore::sigmoid, .renormalize = false, .factor = 3});
  EXPECT_FLOAT_EQ(sigmoid.weights[0], 3 / (1 + std::exp(-2.0f)));
  EXPECT_FLOAT_EQ(sigmoid.weights[1], 1.5f);
  const Chosen root =
      choose({0, 30, -1}, {.top_k = 2, .score = RouterScore::sqrt_softplus, .renormalize = false});
  EXPECT_FLOAT_EQ(root.weights[0], std::sqrt(30.0f));
  EXPECT_FLOAT_EQ(root.weights[1], std::sqrt(std::log(2.0f)));
}

TEST(Router, GivesZerosWhereEveryScoreIsZero) {
  EXPECT_EQ(choose({-800, -800}, {.top_k = 2, .score = RouterScore::sigmoid}).weights,
            (std::vector<float>{0, 0}));
}

TEST(Router, CorrectsTheChoiceAndNotTheWeights) {
  RouterOptions options{.top_k = 1, .score = RouterScore::sigmoid, .renormalize = false};
  options.correction = {0, 0, 5};
  const Chosen chosen = choose({3, 2, -1}, options);
  EXPECT_EQ(chosen.ids, Ids{2});
  EXPECT_FLOAT_EQ(chosen.weights[0], 1 / (1 + std::exp(1.0f)));
  options.score = RouterScore::softmax;
  options.correction = {0, 0.5f, 0};
  EXPECT_EQ(choose({1, 0.9f, 0}, options).ids, Ids{1});
}

TEST(Router, KeepsTheGroupsWhoseTwoBestAreWorthMost) {
  RouterOptions options{.top_k = 2, .score = RouterScore::sigmoid};
  options.groups = 3;
  options.top_groups = 1;
  // The largest of all stands in a group whose second is small.
  EXPECT_EQ(choose({9, -9, 2, 2.5f, 1, 1}, options).ids, (Ids{3, 2}));
  options.top_groups = 2;
  EXPECT_EQ(choose({9, -9, 2, 2.5f, 1, 1}, options).ids, (Ids{3, 2}));
  options.top_groups = 3;
  EXPECT_EQ(choose({9, -9, 2, 2.5f, 1, 1}, options).ids, (Ids{0, 3}));
  options.top_k = 3;
  options.top_groups = 2;  // the last is worth most, the first comes second
  EXPECT_EQ(choose({2, 1, -5, -5, 3, 3}, options).ids, (Ids{4, 5, 0}));
}

// Probabilities, not logits, say what a group is worth, and -infinity does not let other groups in.
TEST(Router, ChoosesWithinTheBestGroupsOnly) {
  RouterOptions options{.top_k = 2, .groups = 2, .top_groups = 1};
  EXPECT_EQ(choose({2, 1.9f, 5, -10}, options).ids, (Ids{2, 3}));
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(choose({2, 1.9f, 5, -infinity}, options).ids, (Ids{2, 3}));
  options.top_k = 3;
  options.correction = {0, 0, 0, 0, 0, -infinity};
  EXPECT_EQ(choose({1, 1, 1, 2, 3, 9}, options).ids, (Ids{4, 3, 5}));
}

TEST(Router, WeighsWhatIsChosenAlready) {
  const std::vector<float> logits = {0, std::log(3.0f), 5};
  Ids ids = {1, 0};
  std::vector<float> weights(2);
  const DenseView view = dense_view(logits.data(), Dtype::f32, {3});
  weigh_experts(view, {.top_k = 2}, {ids.data(), weights.data()});
  EXPECT_EQ(ids, (Ids{1, 0}));
  EXPECT_FLOAT_EQ(weights[0], 0.75f);
  ids = {1, 3};
  EXPECT_STREQ(error_of([&] {
                 weigh_experts(view, {.top_k = 2}, {ids.data(), weights.data()});
               }).what(),
               "router: token 0, slot 1: expert 3 of 3");
}

TEST(Router, MakesTheWeightsOfNanNan) {
  const float nan = std::nanf("");
  for (const RouterScore score : {RouterScore::softmax, RouterScore::sigmoid, RouterScore::sqrt_softplus}) {
    const Chosen chosen = choose({1, 2, nan, 3, nan, nan}, {.top_k = 2, .score = score}, 2);
    EXPECT_EQ(chosen.ids, (Ids{2, 1, 1, 2}));
    for (const float weight : chosen.weights) EXPECT_TRUE(std::isnan(weight));
  }
}

TEST(Router, ComputesItsLogits) {
  for (const auto& [tokens, experts, columns] :
       {std::tuple{1, 1, 1}, {3, 5, 67}, {2, 4, 64}, {70, 37, 200}, {1, 128, 2880}}) {
    const auto n = static_cast<std::size_t>(tokens), e = static_cast<std::size_t>(experts),
               k = static_cast<std::size_t>(columns);
    const std::vector<float> x = test::normal(n * k, 1), w = test::normal(e * k, 2),
                             bias = test::normal(e, 3);
    const Router router(dense_view(w.data(), Dtype::f32, {experts, columns}),
                        dense_view(bias.data(), Dtype::f32, {experts}), {});
    std::vector<float> y(n * e), again(n * e), half(n * e);
    const DenseView view = dense_view(x.data(), Dtype::f32, {tokens, columns});
    router.logits(view, y.data(), 1);
    for (std::size_t i = 0; i < y.size(); ++i) {
      double sum = static_cast<double>(bias[i % e]), magnitude = std::fabs(sum);
      for (std::size_t j = 0; j < k; ++j) {
        const double product = static_cast<double>(x[i / e * k + j]) * static_cast<double>(w[i % e * k + j]);
        sum += product;
        magnitude += std::fabs(product);
      }
      EXPECT_NEAR(y[i], sum, magnitude * 0x1p-21);
    }
    router.logits(view, again.data(), 4);
    EXPECT_EQ(again, y);
    std::vector<std::uint16_t> short_x(x.size());
    std::vector<float> rounded(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) {
      short_x[i] = f32_to_bf16(x[i]);
      rounded[i] = bf16_to_f32(short_x[i]);
    }
    router.logits(dense_view(short_x.data(), Dtype::bf16, {tokens, columns}), half.data(), 2);
    router.logits(dense_view(rounded.data(), Dtype::f32, {tokens, columns}), again.data(), 1);
    EXPECT_EQ(half, again);
  }
}

TEST(Router, ChoosesFromItsLogits) {
  const std::vector<float> x = test::normal(100 * 48, 4), w = test::normal(12 * 48, 5);
  RouterOptions options{.top_k = 3};
  const Router router(dense_view(w.data(), Dtype::f32, {12, 48}), {}, options);
  EXPECT_EQ(router.experts(), 12);
  EXPECT_EQ(router.columns(), 48);
  EXPECT_EQ(router.top_k(), 3);
  const DenseView view = dense_view(x.data(), Dtype::f32, {10, 10, 48});
  std::vector<float> logits(100 * 12);
  router.logits(view, logits.data());
  const Chosen expected = choose(logits, options, 100);
  Chosen chosen{Ids(300), std::vector<float>(300)}, weighed{expected.ids, std::vector<float>(300)};
  router.forward(view, {chosen.ids.data(), chosen.weights.data()}, 2);
  router.weigh(view, {weighed.ids.data(), weighed.weights.data()}, 2);
  EXPECT_EQ(chosen.ids, expected.ids);
  EXPECT_EQ(chosen.weights, expected.weights);
  EXPECT_EQ(weighed.weights, expected.weights);
  const std::size_t before = test::allocations();
  router.forward(view, {chosen.ids.data(), chosen.weights.data()}, 2);
  EXPECT_EQ(test::allocations(), before);
}

TEST(Router, NamesWhatIsWrong) {
  const std::vector<float> values(64);
  const auto message = [&](const RouterOptions& options) {
    return std::string(error_of([&] { choose({1, 2, 3, 4}, options); }).what());
  };
  EXPECT_EQ(message({.top_k = 0}), "router: top_k is 0, of 4 experts");
  EXPECT_EQ(message({.top_k = 5}), "router: top_k is 5, of 4 experts");
  EXPECT_EQ(message({.correction = {1, 2}}), "router: 2 corrections for 4 experts");
  EXPECT_EQ(message({.groups = 3}), "router: 4 experts cannot be in 3 groups of at least two");
  EXPECT_EQ(message({.groups = 4}), "router: 4 experts cannot be in 4 groups of at least two");
  EXPECT_EQ(message({.groups = 2, .top_groups = 3}), "router: top_groups is 3, of 2 groups");
  EXPECT_EQ(message({.top_k = 3, .groups = 2}), "router: top_k is 3, of 2 experts in 1 groups");
  const auto made = [&](const DenseView& weight, const DenseView& bias) {
    return std::string(error_of([&] { const Router router(weight, bias, {}); }).what());
  };
  const DenseView weight = dense_view(values.data(), Dtype::f32, {4, 16});
  EXPECT_EQ(made(dense_view(values.data(), Dtype::f32, {64}), {}),
            "router: the weight has shape [64], not [N, K]");
  EXPECT_EQ(made(weight, dense_view(values.data(), Dtype::f32, {5})),
            "router: the bias has shape [5], not [4]");
  EXPECT_EQ(made(dense_view(values.data(), Dtype::i32, {4, 16}), {}),
            "router: the weight is I32; F32, BF16 and F16 can be");
  const Router router(weight, {}, {});
  Chosen out{Ids(1), std::vector<float>(1)};
  EXPECT_STREQ(
      error_of([&] {
        router.forward(dense_view(values.data(), Dtype::f32, {1, 8}), {out.ids.data(), out.weights.data()});
      }).what(),
      "router: x has shape [1, 8], not [..., 16]");
}

}  // namespace
}  // namespace mxfp4
