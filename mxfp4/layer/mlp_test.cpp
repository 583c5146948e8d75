#include "mxfp4/layer/mlp.h"

#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "mxfp4/base/test_error_internal.h"
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

TEST_F(MlpTest, NamesWhatDoesNotFit) {
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
