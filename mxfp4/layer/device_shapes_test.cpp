// Layers on a device against the processor's: random shapes with tails, every dtype with every activation,
// routers, and what is not finite.
#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "mxfp4/kernel/test_device.h"
#include "mxfp4/layer/mlp.h"
#include "mxfp4/layer/test_experts_internal.h"
#include "mxfp4/layer/test_linear_internal.h"

namespace mxfp4 {
namespace {

using namespace test;

constexpr unsigned kSeed = 31;
constexpr Dtype kDtypes[] = {Dtype::f32, Dtype::f16, Dtype::bf16};

/// Tokens [T, K] of any dtype.
struct Batch {
  std::vector<std::byte> bytes;
  DenseView view;

  Batch(const std::vector<float>& x, Dtype dtype, std::int64_t columns) : bytes(4 * x.size()) {
    write_f32(x.data(), x.size(), dtype, bytes.data());
    view = dense_view(bytes.data(), dtype, {static_cast<std::int64_t>(x.size()) / columns, columns});
  }
};

/// Of two results: the root mean square of their difference, against that of `wanted`.
double difference(const std::vector<float>& y, const std::vector<float>& wanted) {
  double error = 0, size = 0;
  for (std::size_t i = 0; i < y.size(); ++i) {
    const double distance = static_cast<double>(y[i]) - static_cast<double>(wanted[i]);
    error += distance * distance;
    size += static_cast<double>(wanted[i]) * static_cast<double>(wanted[i]);
  }
  return std::sqrt(error / size);
}

class ShapesOnDevice : public kernel::OnDevice<LayerOptions> {
 protected:
  void SetUp() override {
    OnDevice::SetUp();
    if (options_.context.device.backend == Backend::cuda) {
      GTEST_SKIP() << "cuda takes neither int8 nor mxfp8";
    }
  }
  LayerOptions here() const {
    LayerOptions options = options_;
    options.context.device = {};
    return options;
  }
  template <class Layer>
  static std::vector<float> forward(const Layer& layer, const DenseView& x, std::int64_t columns,
                                    Activation activation) {
    std::vector<float> y(static_cast<std::size_t>(x.shape[0] * columns), -7);
    layer.forward(x, Dtype::f32, y.data(), {activation, 1});
    return y;
  }

  std::mt19937 random_{kSeed};
  unsigned seed() { return static_cast<unsigned>(random_()); }
  std::int64_t up_to(std::uint32_t most) { return 1 + static_cast<std::int64_t>(random_() % most); }
};

TEST_F(ShapesOnDevice, LinearLayersOfAnyShapeAreTheProcessors) {
  for (int i = 0; i < 45; ++i) {
    const std::int64_t rows = up_to(150), columns = up_to(300), tokens = up_to(i % 2 == 0 ? 8 : 70);
    const Dtype dtype = kDtypes[i % 3];
    const Activation activation = kActivations[i / 3 % 3];
    const Mxfp4Tensor weight = random_weight(rows, columns, 116, 124, seed());
    const std::vector<float> bias = normal(static_cast<std::size_t>(i % 4 == 0 ? 0 : rows), seed());
    const Linear layer(weight.view(), bias, options_), processor(weight.view(), bias, here());
    const Batch x(normal(static_cast<std::size_t>(tokens * columns), seed()), dtype, columns);
    const std::vector<float> y = forward(layer, x.view, rows, activation),
                             wanted = forward(processor, x.view, rows, activation);
    EXPECT_LT(difference(y, wanted), 1e-5)
        << fmt::format("seed {}, case {}: {} x {}, {} tokens, {}, activation {}", kSeed, i, rows, columns,
                       tokens, to_string(dtype), static_cast<int>(activation));
  }
}

TEST_F(ShapesOnDevice, MlpsOfAnyShapeAreTheProcessors) {
  for (int i = 0; i < 27; ++i) {
    const std::int64_t experts = 1 + up_to(20), hidden = up_to(150), inner = up_to(100),
                       tokens = up_to(i % 2 == 0 ? 8 : 70);
    const Dtype dtype = kDtypes[i % 3];
    const Activation activation = kActivations[i / 3 % 3];
    const ExpertModel model(experts, hidden, inner, seed());
    const std::vector<float> weight = normal(static_cast<std::size_t>(experts * hidden), seed());
    const RouterOptions routing{
        .top_k = static_cast<int>(up_to(static_cast<std::uint32_t>(std::min<std::int64_t>(experts, 5))))};
    const auto mlp = [&](const LayerOptions& options) {
      return Mlp(Router(dense_view(weight.data(), Dtype::f32, {experts, hidden}), {}, routing),
                 Experts(model.weights(), options));
    };
    const Batch x(normal(static_cast<std::size_t>(tokens * hidden), seed()), dtype, hidden);
    const std::vector<float> y = forward(mlp(options_), x.view, hidden, activation),
                             wanted = forward(mlp(here()), x.view, hidden, activation);
    // Between the products a last bit can decide how an activation is rounded.
    EXPECT_LT(difference(y, wanted), activation == Activation::exact ? 1e-5 : 1e-3) << fmt::format(
        "seed {}, case {}: {} of {} experts, {} x {}, {} tokens, {}, activation {}", kSeed, i, routing.top_k,
        experts, hidden, inner, tokens, to_string(dtype), static_cast<int>(activation));
  }
}

TEST_F(ShapesOnDevice, OfEqualLogitsTheLowerIndexIsChosen) {
  constexpr std::int64_t kExperts = 72, kHidden = 40;
  const ExpertModel model(kExperts, kHidden, 16);
  const std::vector<float> weight(kExperts * kHidden);  // logits are the bias
  std::vector<float> bias(kExperts, -1.0f);
  bias[40] = 2;
  for (const std::size_t e : {70, 9, 33}) bias[e] = 1;  // two of these three
  const Batch x(normal(5 * kHidden, 6), Dtype::f32, kHidden);
  const Experts experts(model.weights(), options_);
  for (const RouterScore score : {RouterScore::softmax, RouterScore::sigmoid, RouterScore::sqrt_softplus}) {
    const Router router(dense_view(weight.data(), Dtype::f32, {kExperts, kHidden}),
                        dense_view(bias.data(), Dtype::f32, {kExperts}), {.top_k = 3, .score = score});
    std::vector<std::int32_t> ids(15);
    std::vector<float> weights(15), wanted(5 * kHidden);
    router.forward(x.view, {ids.data(), weights.data()}, 1);
    for (std::size_t t = 0; t < 5; ++t) {
      EXPECT_EQ(std::vector<std::int32_t>(ids.begin() + static_cast<std::ptrdiff_t>(3 * t),
                                          ids.begin() + static_cast<std::ptrdiff_t>(3 * t + 3)),
                (std::vector<std::int32_t>{40, 9, 33}));
    }
    experts.forward(x.view, {ids.data(), weights.data(), 3}, Dtype::f32, wanted.data());
    const Mlp mlp(router, Experts(model.weights(), options_));
    EXPECT_LT(difference(forward(mlp, x.view, kHidden, Activation::exact), wanted), 1e-6)
        << static_cast<int>(score);
  }
}

TEST_F(ShapesOnDevice, WhatIsNotFiniteConcernsItsTokenAsOnTheProcessor) {
  constexpr std::int64_t kExperts = 6, kHidden = 75;
  const ExpertModel model(kExperts, kHidden, 50);
  const std::vector<float> weight = normal(kExperts * kHidden, 3);
  const auto mlp = [&](const LayerOptions& options) {
    return Mlp(Router(dense_view(weight.data(), Dtype::f32, {kExperts, kHidden}), {}, {.top_k = 2}),
               Experts(model.weights(), options));
  };
  const Mlp layer = mlp(options_), processor = mlp(here());
  for (const std::size_t tokens : {4u, 30u}) {
    std::vector<float> values = normal(tokens * kHidden, 6);
    values[kHidden + 5] = NAN;
    values[2 * kHidden + 70] = kInfinity;
    const ExpertBatch batch(model, tokens, 2, 5, 0);
    for (const Dtype dtype : kDtypes) {
      const Batch x(values, dtype, kHidden);
      for (const Activation activation : kActivations) {
        for (const bool routed : {false, true}) {
          const auto output = [&](const Mlp& of) {
            if (routed) return forward(of, x.view, kHidden, activation);
            std::vector<float> y(values.size());
            of.experts().forward(x.view, batch.choice(), Dtype::f32, y.data(), {activation, 1});
            return y;
          };
          const std::vector<float> y = output(layer), wanted = output(processor);
          for (std::size_t i = 0; i < y.size(); ++i) {
            const std::size_t token = i / kHidden;
            ASSERT_EQ(std::isfinite(y[i]), std::isfinite(wanted[i]))
                << fmt::format("token {} of {}, {}, activation {}, routed {}: {}, {}", token, tokens,
                               to_string(dtype), static_cast<int>(activation), routed, y[i], wanted[i]);
            if (token != 2) {
              ASSERT_EQ(std::isfinite(y[i]), token != 1) << token;
            }
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace mxfp4
