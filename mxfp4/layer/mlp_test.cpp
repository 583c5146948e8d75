#include "mxfp4/layer/mlp.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "mxfp4/base/test_error_internal.h"
#include "mxfp4/codec/float16.h"
#include "mxfp4/layer/test_allocations_internal.h"
#include "mxfp4/layer/test_experts_internal.h"
#include "mxfp4/layer/test_linear_internal.h"

namespace mxfp4 {
namespace {

constexpr std::int64_t kExperts = 6, kHidden = 64, kTokens = 150;

class MlpTest : public testing::Test {
 protected:
  Router router(std::int64_t experts = kExperts, std::int64_t hidden = kHidden) const {
    return Router(dense_view(weight_.data(), Dtype::f32, {experts, hidden}), {}, {.top_k = 2});
  }
  const test::ExpertModel model_{kExperts, kHidden, 32};
  const std::vector<float> weight_ = test::normal(7 * kHidden, 3),
                           x_ = test::normal(static_cast<std::size_t>(2 * kTokens * kHidden), 4);
};

TEST_F(MlpTest, IsItsRouterAndItsExperts) {
  const Mlp mlp(router(), Experts(model_.weights()));
  const DenseView x = dense_view(x_.data(), Dtype::f32, {3, kTokens / 3, kHidden});
  test::ExpertBatch chosen(model_, kTokens, 2);
  chosen.x.assign(x_.begin(), x_.begin() + kTokens * kHidden);
  mlp.router().forward(x, {chosen.ids.data(), chosen.weights.data()});
  for (const Activation activation : test::kActivations) {
    std::vector<float> y(chosen.x.size());
    mlp.forward(x, Dtype::f32, y.data(), {activation, 2});
    EXPECT_TRUE(test::same_bits(y, test::forward(mlp.experts(), chosen, {activation, 1})));
  }
  mlp.forward(dense_view(nullptr, Dtype::f32, {0, kHidden}), Dtype::f32, nullptr);
}

TEST_F(MlpTest, AllocatesNothingOnceItHasSeenItsLargestBatch) {
  const Mlp mlp(router(), Experts(model_.weights()));
  std::vector<float> y(kTokens * kHidden);
  const DenseView all = dense_view(x_.data(), Dtype::f32, {2 * kTokens, kHidden});
  const DenseView batches[] = {all.slice(0, 0, kTokens), all.slice(0, kTokens, 2 * kTokens),
                               all.slice(0, 0, 2 * kTokens, 2), all.slice(0, 3, 4)};
  mlp.forward(batches[2], Dtype::f32, y.data(), {Activation::exact, 2});
  const std::size_t before = test::allocations();
  for (const DenseView& x : batches) mlp.forward(x, Dtype::f32, y.data(), {Activation::exact, 2});
  EXPECT_EQ(test::allocations(), before);
}

TEST_F(MlpTest, AddsWhatAllTokensShare) {
  const std::vector<float> gate = test::normal(96 * kHidden, 5), up = test::normal(96 * kHidden, 6),
                           down = test::normal(kHidden * 96, 7), share = test::normal(kHidden, 8);
  const DenseView x = dense_view(x_.data(), Dtype::f32, {2 * kTokens, kHidden});
  const auto dense = [](const std::vector<float>& w, std::int64_t rows, std::int64_t columns) {
    return DenseLinear("linear", dense_view(w.data(), Dtype::f32, {rows, columns}));
  };
  const Mlp alone(router(), Experts(model_.weights()));
  const Mlp mlp(router(), Experts(model_.weights()),
                {SharedExpert(dense(gate, 96, kHidden), dense(up, 96, kHidden), dense(down, kHidden, 96),
                              GatedUnit::silu(2), dense(share, 1, kHidden))});
  EXPECT_EQ(mlp.memory(), alone.memory() + (3 * 96 + 1) * kHidden * sizeof(float));
  const auto forward = [&](const Mlp& of, const DenseView& in, int threads) {
    std::vector<float> y(static_cast<std::size_t>(in.elements()));
    of.forward(in, Dtype::f32, y.data(), {Activation::exact, threads});
    return y;
  };
  const std::vector<float> y = forward(mlp, x, 2), routed = forward(alone, x, 2);
  const auto dot = [](const float* a, const float* b, std::size_t count) {
    double sum = 0;
    for (std::size_t i = 0; i < count; ++i) sum += double{a[i]} * double{b[i]};
    return sum;
  };
  for (const std::size_t t : {std::size_t{0}, std::size_t{7}, std::size_t{2 * kTokens - 1}}) {
    const float* const in = x_.data() + t * kHidden;
    std::vector<float> activated;
    for (std::size_t i = 0; i < 96; ++i) {
      const double g = std::min(dot(in, gate.data() + i * kHidden, kHidden), 2.0);
      const double u = std::clamp(dot(in, up.data() + i * kHidden, kHidden), -2.0, 2.0);
      activated.push_back(static_cast<float>(g / (1 + std::exp(-g)) * u));
    }
    const double weight = 1 / (1 + std::exp(-dot(in, share.data(), kHidden)));
    for (std::size_t n = 0; n < kHidden; ++n) {
      const double expected =
          double{routed[t * kHidden + n]} + weight * dot(activated.data(), down.data() + n * 96, 96);
      EXPECT_NEAR(y[t * kHidden + n], expected, 1e-4);
    }
  }
  // Whatever stands in the batch, and how many threads there are.
  EXPECT_TRUE(test::same_bits(forward(mlp, x, 1), y));
  const std::vector<float> last = forward(mlp, x.slice(0, 2 * kTokens - 1, 2 * kTokens), 1);
  EXPECT_TRUE(test::same_bits(last, {y.end() - kHidden, y.end()}));
  // Other outputs are these, rounded once.
  std::vector<std::uint16_t> halves(y.size());
  mlp.forward(x, Dtype::bf16, halves.data(), {Activation::exact, 2});
  for (std::size_t i = 0; i < y.size(); ++i) ASSERT_EQ(halves[i], f32_to_bf16(y[i]));
  const std::size_t before = test::allocations();
  mlp.forward(x, Dtype::bf16, halves.data(), {Activation::exact, 2});
  EXPECT_EQ(test::allocations(), before);
}

TEST_F(MlpTest, TakesExpertsFromATable) {
  const Mlp mlp(router(), Experts(model_.weights()), {{}, {1, 0, 4, 5, 3, 2}});
  const DenseView x = dense_view(x_.data(), Dtype::f32, {2, kHidden});
  std::vector<float> y(2 * kHidden), expected(y.size()), weights(4);
  const std::vector<std::int32_t> token_ids = {2, 0};
  std::vector<std::int32_t> ids = {3, 2, 1, 0};
  mlp.forward(x, Dtype::f32, y.data(), {}, token_ids);
  mlp.router().weigh(x, {ids.data(), weights.data()});
  mlp.experts().forward(x, {ids.data(), weights.data(), 2}, Dtype::f32, expected.data());
  EXPECT_TRUE(test::same_bits(y, expected));
  const auto message = [&](std::span<const std::int32_t> of) {
    return std::string(error_of([&] { mlp.forward(x, Dtype::f32, y.data(), {}, of); }).what());
  };
  EXPECT_EQ(message({}), "mlp: 0 token ids for 2 tokens, whose experts a table tells");
  EXPECT_EQ(message(std::vector{1, 3}), "mlp: token 1 has id 3; the table has 3");
  EXPECT_EQ(message(std::vector{-1, 0}), "mlp: token 0 has id -1; the table has 3");
  const auto made = [&](std::vector<std::int32_t> table) {
    return std::string(error_of([&] {
                         const Mlp of(router(), Experts(model_.weights()), {{}, table});
                       }).what());
  };
  EXPECT_EQ(made({1, 2, 3}), "mlp: a table of 3 experts, not a multiple of top_k = 2");
  EXPECT_EQ(made({1, 2, 3, 6}), "mlp: the table sends token id 1 to expert 6 of 6");
  EXPECT_EQ(made({-1, 2}), "mlp: the table sends token id 0 to expert -1 of 6");
}

TEST_F(MlpTest, NamesWhatDoesNotFit) {
  const auto shared = [&](std::int64_t gate, std::int64_t up, std::int64_t share,
                          std::int64_t hidden = kHidden) {
    const std::vector<float> zeros(96 * 96);
    const auto dense = [&](std::int64_t rows, std::int64_t columns) {
      return DenseLinear("linear", dense_view(zeros.data(), Dtype::f32, {rows, columns}));
    };
    return std::string(error_of([&] {
                         SharedExpert expert(dense(gate, hidden), dense(up, hidden), dense(hidden, 32), {},
                                             dense(1, share));
                         const Mlp mlp(router(), Experts(model_.weights()), {std::move(expert)});
                       }).what());
  };
  EXPECT_EQ(shared(31, 32, kHidden), "shared expert: gate has shape [31, 64], not [32, 64]");
  EXPECT_EQ(shared(32, 33, kHidden), "shared expert: up has shape [33, 64], not [32, 64]");
  EXPECT_EQ(shared(32, 32, 32), "shared expert: share has shape [1, 32], not [1, 64]");
  EXPECT_EQ(shared(32, 32, 32, 32), "mlp: a shared expert of hidden size 32 beside experts of 64");

  const auto message = [&](std::int64_t experts, std::int64_t hidden) {
    return std::string(
        error_of([&] { const Mlp mlp(router(experts, hidden), Experts(model_.weights())); }).what());
  };
  EXPECT_EQ(message(7, 64), "mlp: a router of shape [7, 64] for 6 experts of hidden size 64");
  EXPECT_EQ(message(6, 32), "mlp: a router of shape [6, 32] for 6 experts of hidden size 64");
  const Mlp mlp(router(), Experts(model_.weights()));
  float y[kHidden];
  EXPECT_STREQ(error_of([&] {
                 mlp.forward(dense_view(x_.data(), Dtype::f32, {2, 32}), Dtype::f32, y);
               }).what(),
               "mlp: x has shape [2, 32], not [..., 64]");
  EXPECT_STREQ(error_of([&] {
                 mlp.forward(dense_view(x_.data(), Dtype::f32, {1, kHidden}), Dtype::i8, y);
               }).what(),
               "mlp: y is I8; F32, BF16 and F16 can be");
}

}  // namespace
}  // namespace mxfp4
