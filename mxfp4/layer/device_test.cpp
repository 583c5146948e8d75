// Linear and Experts on a device, against the judges of the processor's layers in double precision.
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "mxfp4/base/error.h"
#include "mxfp4/codec/float16.h"
#include "mxfp4/kernel/test_device.h"
#include "mxfp4/layer/expert_linear.h"
#include "mxfp4/layer/mlp.h"
#include "mxfp4/layer/test_experts_internal.h"
#include "mxfp4/layer/test_linear_internal.h"

namespace mxfp4 {
namespace {

using namespace test;

/// Of f32 sums over K: their roundings add up like sqrt(K), bounds like K. The judge is sum |w x|.
constexpr double kEpsilon = 0x1p-24;

/// What activations lose before: CUDA takes f32 as two bf16, 16 bits of it.
double input_epsilon(const Device& device) {
  return device.backend == Backend::cuda ? 0x1p-17 : 0;
}

/// The message of the refusal that `body` throws.
template <class Body>
std::string refused(const Body& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.code() == ErrorCode::unsupported ? error.what() : "another error";
  }
  return "";
}

class LayersOnDevice : public kernel::OnDevice<LayerOptions> {};

TEST_F(LayersOnDevice, LinearComputesWhatItsDefinitionSays) {
  struct Case {
    std::int64_t rows, columns;
    int least, most;  // scale bytes
    float size;       // of x
  };
  const Case cases[] = {{1, 1, 120, 124, 1},       {31, 33, 120, 124, 1},         {33, 31, 118, 130, 1},
                        {70, 160, 0, 2, 0x1p100f}, {70, 160, 250, 254, 0x1p-60f}, {130, 2880, 118, 122, 1},
                        {5, 64, 0, 254, 0x1p-10f}};
  const Device& device = options_.context.device;
  for (const Case& c : cases) {
    Mxfp4Tensor weight = random_weight(c.rows, c.columns, c.least, c.most, 3);
    const std::vector<float> bias = normal(static_cast<std::size_t>(c.rows), 4);
    const Linear layer(weight.view(), c.size == 1 ? bias : std::vector<float>(), options_);
    EXPECT_TRUE(layer.packed());
    EXPECT_GE(layer.memory(), weight.codes.size());
    for (const std::size_t tokens : {1u, 3u, 8u, 9u, 50u}) {
      std::vector<float> x = normal(tokens * static_cast<std::size_t>(c.columns), 5);
      for (float& value : x) value *= c.size;
      const Expected expected = expected_linear(weight.view(), x, c.size == 1 ? bias : std::vector<float>());
      const std::vector<float> y = forward(layer, x);
      for (std::size_t i = 0; i < y.size(); ++i) {
        if (expected.magnitude[i] > 0x1p126) continue;
        const double bound =
            2 * kEpsilon * std::sqrt(static_cast<double>(c.columns)) * expected.magnitude[i] +
            2 * kEpsilon * std::fabs(expected.y[i]) + input_epsilon(device) * expected.magnitude[i] +
            0x1p-120;
        ASSERT_NEAR(static_cast<double>(y[i]), expected.y[i], bound)
            << c.rows << " x " << c.columns << ", bytes " << c.least << " to " << c.most << ", " << tokens
            << " tokens, output " << i;
      }
    }
  }
}

TEST_F(LayersOnDevice, LinearTakesAndGivesEveryDtype) {
  const Mxfp4Tensor weight = random_weight(40, 70, 118, 122, 3);
  const Linear layer(weight.view(), {}, options_);
  const std::vector<float> x = normal(2 * 3 * 70, 6);
  for (const Dtype dtype : {Dtype::bf16, Dtype::f16}) {
    std::vector<std::uint16_t> narrow(x.size()), y(2 * 3 * 40);
    std::vector<float> wide(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) {
      narrow[i] = dtype == Dtype::bf16 ? f32_to_bf16(x[i]) : f32_to_f16(x[i]);
      wide[i] = dtype == Dtype::bf16 ? bf16_to_f32(narrow[i]) : f16_to_f32(narrow[i]);
    }
    DenseView view = dense_view(narrow.data(), dtype, {3, 2, 70});
    layer.forward(view, dtype, y.data());
    const std::vector<float> expected = forward(layer, wide);
    for (std::size_t i = 0; i < y.size(); ++i) {
      ASSERT_EQ(y[i], dtype == Dtype::bf16 ? f32_to_bf16(expected[i]) : f32_to_f16(expected[i]));
    }
  }
}

TEST_F(LayersOnDevice, ResultsOfATokenDoNotDependOnTheTokensBesideIt) {
  const Mxfp4Tensor weight = random_weight(70, 350, 116, 124, 3);
  const Linear layer(weight.view(), {}, options_);
  const std::vector<float> x = normal(100 * 350, 6);
  const auto rows = [&](std::size_t first, std::size_t count) {
    return forward(layer, {x.begin() + static_cast<std::ptrdiff_t>(first * 350),
                           x.begin() + static_cast<std::ptrdiff_t>((first + count) * 350)});
  };
  const auto part = [](const std::vector<float>& y, std::size_t first, std::size_t count) {
    return std::vector<float>(y.begin() + static_cast<std::ptrdiff_t>(first * 70),
                              y.begin() + static_cast<std::ptrdiff_t>((first + count) * 70));
  };
  const std::vector<float> eight = rows(0, 8), hundred = rows(0, 100);
  for (const std::size_t first : {0u, 3u, 7u}) EXPECT_TRUE(same_bits(rows(first, 1), part(eight, first, 1)));
  EXPECT_TRUE(same_bits(rows(2, 3), part(eight, 2, 3)));
  EXPECT_TRUE(same_bits(rows(40, 9), part(hundred, 40, 9)));
  EXPECT_TRUE(same_bits(rows(63, 37), part(hundred, 63, 37)));
}

TEST_F(LayersOnDevice, NanScalesAndInputsConcernTheirOwnOutputs) {
  Mxfp4Tensor weight = random_weight(40, 96, 118, 122, 3);
  weight.scales[7 * 3 + 1] = 255;
  const Linear layer(weight.view(), {}, options_);
  for (const std::size_t tokens : {3u, 20u}) {
    std::vector<float> x = normal(tokens * 96, 6);
    x[96 + 5] = NAN;
    x[2 * 96 + 50] = kInfinity;
    const std::vector<float> y = forward(layer, x);
    for (std::size_t t = 0; t < tokens; ++t) {
      for (std::size_t n = 0; n < 40; ++n) {
        EXPECT_EQ(std::isfinite(y[t * 40 + n]), t != 1 && t != 2 && n != 7) << t << ", " << n;
      }
    }
    EXPECT_TRUE(std::isnan(y[7]));
  }
}

TEST_F(LayersOnDevice, ExpertsComputeWhatTheirDefinitionSays) {
  for (const bool alternate : {true, false}) {
    for (const std::int64_t hidden : {64, 75}) {
      ExpertModel model(7, hidden, 50);
      model.alternate = alternate;
      if (!alternate) {
        model.unit.assign(7, GatedUnit::silu());
        model.unit[3] = GatedUnit::silu(2);
      }
      const Experts layer(model.weights(), options_);
      for (const std::size_t tokens : {1u, 5u, 8u, 70u}) {
        const ExpertBatch batch(model, tokens, 3);
        const Expected expected = expected_experts(model, batch);
        const RelativeError error =
            relative_error(expected, forward(layer, batch), static_cast<std::size_t>(hidden));
        EXPECT_LT(error.rms, 0x1p-18) << tokens << " tokens";
        EXPECT_LT(error.most, 0x1p-16) << tokens << " tokens";
      }
    }
  }
}

TEST_F(LayersOnDevice, ExpertsDoWhatTheProcessorsDo) {
  const ExpertModel model(5, 96, 64);
  LayerOptions here = options_;
  here.context.device = {};
  const Experts layer(model.weights(), options_), expected(model.weights(), here);
  const ExpertBatch batch(model, 6, 2);
  const ExpertBatch nobody(model, 6, 2, 5, 1);
  EXPECT_EQ(forward(layer, nobody), std::vector<float>(nobody.x.size(), 0.0f));
  for (const bool on_input : {false, true}) {
    ExpertChoice choice = batch.choice();
    choice.weights_on_input = on_input;
    const DenseView x = dense_view(batch.x.data(), Dtype::f32, {6, 96});
    std::vector<float> y(batch.x.size()), wanted(batch.x.size());
    layer.forward(x, choice, Dtype::f32, y.data());
    expected.forward(x, choice, Dtype::f32, wanted.data());
    for (std::size_t i = 0; i < y.size(); ++i) {
      ASSERT_NEAR(y[i], wanted[i], 1e-4f * (1 + std::fabs(wanted[i]))) << on_input << ", " << i;
    }
  }
}

/// Tests of what CUDA refuses, which then is what they test.
class MoreOnDevice : public LayersOnDevice {
 protected:
  bool cuda() const { return options_.context.device.backend == Backend::cuda; }
  LayerOptions here() const {
    LayerOptions options = options_;
    options.context.device = {};
    return options;
  }
};

TEST_F(MoreOnDevice, ActivationsAreRoundedAsTheProcessorRoundsThem) {
  struct Case {
    std::int64_t rows, columns;
    int least, most;  // scale bytes
    float size;       // of x
  };
  const Case cases[] = {{33, 31, 118, 122, 1},
                        {40, 33, 118, 130, 1e-20f},
                        {70, 160, 0, 2, 0x1p95f},
                        {70, 160, 250, 254, 0x1p-60f},
                        {40, 2880, 118, 122, 1}};
  for (const Case& c : cases) {
    const Mxfp4Tensor weight = random_weight(c.rows, c.columns, c.least, c.most, 3);
    const Linear layer(weight.view(), {}, options_), processor(weight.view(), {}, here());
    for (const std::size_t tokens : {1u, 8u, 9u, 50u}) {
      std::vector<float> x = normal(tokens * static_cast<std::size_t>(c.columns), 5);
      for (std::size_t i = 0; i < x.size(); ++i) x[i] *= c.size * (i / 32 % 3 == 0 ? 0x1p-20f : 1.0f);
      for (std::size_t i = 0; c.columns % 32 == 0 && c.size == 1 && i < x.size(); ++i) {
        x[i] = i % 32 == 0 ? 127.0f / 16 : std::round(x[i] * 32) / 32;  // ties of both
      }
      const Expected expected = expected_linear(weight.view(), x, {});
      for (const Activation activation : {Activation::int8, Activation::mxfp8}) {
        if (cuda()) {
          EXPECT_EQ(refused([&] { forward(layer, x, activation); }),
                    "cuda: activations are exact, neither int8 nor mxfp8");
          continue;
        }
        const std::vector<float> y = forward(layer, x, activation),
                                 wanted = forward(processor, x, activation);
        for (std::size_t i = 0; i < y.size(); ++i) {
          // An element that is rounded to a neighbour would show: a step is more than 2^-7 / 32 of a block.
          const double bound =
              2 * kEpsilon * std::sqrt(static_cast<double>(c.columns)) * expected.magnitude[i] + 0x1p-120;
          ASSERT_NEAR(static_cast<double>(y[i]), static_cast<double>(wanted[i]), bound)
              << c.rows << " x " << c.columns << ", bytes " << c.least << " to " << c.most << ", " << tokens
              << " tokens, activation " << static_cast<int>(activation) << ", output " << i;
        }
      }
    }
  }
}

TEST_F(MoreOnDevice, RoundedActivationsStayNanWhereTheyAre) {
  if (cuda()) GTEST_SKIP() << "cuda refuses them";
  const Mxfp4Tensor weight = random_weight(40, 96, 118, 122, 3);
  const Linear layer(weight.view(), {}, options_);
  for (const Activation activation : {Activation::int8, Activation::mxfp8}) {
    std::vector<float> x = normal(4 * 96, 6);
    x[96 + 5] = NAN;
    x[2 * 96 + 50] = kInfinity;
    std::fill_n(x.begin() + 3 * 96, 96, 0.0f);
    const std::vector<float> y = forward(layer, x, activation);
    for (std::size_t i = 0; i < y.size(); ++i) EXPECT_EQ(std::isfinite(y[i]), i / 40 % 3 == 0) << i;
    for (std::size_t i = 3 * 40; i < y.size(); ++i) EXPECT_EQ(y[i], 0.0f) << i;
  }
}

TEST_F(MoreOnDevice, ExpertsLoseToRoundedActivationsWhatTheyLoseOnTheProcessor) {
  if (cuda()) GTEST_SKIP() << "cuda refuses them";
  const ExpertModel model(7, 75, 50);
  const Experts layer(model.weights(), options_), processor(model.weights(), here());
  for (const std::size_t tokens : {5u, 70u}) {
    const ExpertBatch batch(model, tokens, 3);
    const Expected expected = expected_experts(model, batch);
    for (const Activation activation : {Activation::int8, Activation::mxfp8}) {
      const std::vector<float> y = forward(layer, batch, {activation, 1}),
                               wanted = forward(processor, batch, {activation, 1});
      const double error = relative_error(expected, y, 75).rms,
                   usual = relative_error(expected, wanted, 75).rms;
      EXPECT_GT(error, 0.8 * usual) << tokens;
      EXPECT_LT(error, 1.2 * usual) << tokens;
    }
  }
}

TEST_F(MoreOnDevice, GathersTheRowsOfItsExperts) {
  const ExpertModel model(6, 70, 40);
  const ExpertMatrices matrices = model.gate_up_matrices();
  if (cuda()) {
    EXPECT_EQ(refused([&] { ExpertLinear(matrices, options_); }),
              "cuda: there are no kernels for ExpertLinear");
    return;
  }
  const ExpertLinear layer(matrices, options_), processor(matrices, here());
  EXPECT_GE(layer.memory(), model.gate_up.codes.size());
  for (const std::int64_t tokens : {1, 8, 9, 60}) {
    const ExpertBatch batch(model, static_cast<std::size_t>(tokens), 3, 5, 4);
    const std::vector<float> each = normal(static_cast<std::size_t>(tokens) * 3 * 70, 8);
    for (const bool row_each : {false, true}) {
      const DenseView x = row_each ? dense_view(each.data(), Dtype::f32, {tokens, 3, 70})
                                   : dense_view(batch.x.data(), Dtype::f32, {tokens, 70});
      for (const Activation activation : kActivations) {
        std::vector<float> y(static_cast<std::size_t>(tokens) * 3 * 80, -7), wanted = y;
        layer.gather(x, batch.ids.data(), 3, Dtype::f32, y.data(), {activation, 1});
        processor.gather(x, batch.ids.data(), 3, Dtype::f32, wanted.data(), {activation, 1});
        for (std::size_t i = 0; i < y.size(); ++i) {
          if (batch.ids[i / 80] < 0) {
            ASSERT_EQ(y[i], 0.0f) << i;
          }
          ASSERT_NEAR(y[i], wanted[i], 2e-5f * (1 + std::fabs(wanted[i])))
              << tokens << " tokens, output " << i;
        }
      }
    }
  }
}

/// The processor's router and the device's, which is asked for weights alone by a table of token ids.
TEST_F(MoreOnDevice, MlpsAreRoutedAsOnTheProcessor) {
  constexpr std::int64_t kExperts = 72, kHidden = 40;
  const ExpertModel model(kExperts, kHidden, 16);
  std::vector<float> weight = normal(kExperts * kHidden, 3), bias = normal(kExperts, 4);
  std::copy_n(weight.begin() + 5 * kHidden, kHidden, weight.begin() + 9 * kHidden);  // ties
  bias[9] = bias[5];
  std::vector<float> correction = normal(kExperts, 5);
  for (float& value : correction) value *= 0.1f;
  const RouterOptions options[] = {
      {.top_k = 4},
      {.top_k = 3, .renormalize = false, .factor = 2.5f},
      {.top_k = 4, .score = RouterScore::sigmoid, .correction = correction},
      {.top_k = 5,
       .score = RouterScore::sigmoid,
       .factor = 2.5f,
       .correction = correction,
       .groups = 8,
       .top_groups = 3},
      {.top_k = 4, .groups = 9, .top_groups = 2},
      {.top_k = 4, .score = RouterScore::sqrt_softplus, .correction = correction},
      {.top_k = 20, .score = RouterScore::sqrt_softplus, .renormalize = false}};
  for (const RouterOptions& given : options) {
    const auto mlp = [&](const LayerOptions& layer, std::vector<std::int32_t> table) {
      return Mlp(Router(dense_view(weight.data(), Dtype::f32, {kExperts, kHidden}),
                        dense_view(bias.data(), Dtype::f32, {kExperts}), given),
                 Experts(model.weights(), layer), {.table = std::move(table)});
    };
    std::vector<std::int32_t> table;
    for (int i = 0; i < 3 * given.top_k; ++i) table.push_back(i * 5 % static_cast<int>(kExperts));
    for (const bool by_table : {false, true}) {
      const Mlp layer = mlp(options_, by_table ? table : std::vector<std::int32_t>()),
                processor = mlp(here(), by_table ? table : std::vector<std::int32_t>());
      for (const std::int64_t tokens : {3, 12}) {
        const std::vector<float> x = normal(static_cast<std::size_t>(tokens * kHidden), 6);
        const std::vector<std::int32_t> token_ids(static_cast<std::size_t>(tokens), 2);
        std::vector<float> y(x.size()), wanted(x.size());
        const DenseView view = dense_view(x.data(), Dtype::f32, {tokens, kHidden});
        layer.forward(view, Dtype::f32, y.data(), {}, token_ids);
        processor.forward(view, Dtype::f32, wanted.data(), {}, token_ids);
        float most = 0;
        for (const float value : wanted) most = std::max(most, std::fabs(value));
        const float bound = (cuda() ? 1e-4f : 1e-5f) * most;
        for (std::size_t i = 0; i < y.size(); ++i) {
          ASSERT_NEAR(y[i], wanted[i], bound) << "options " << &given - options << ", " << tokens
                                              << " tokens, table " << by_table << ", " << i;
        }
      }
    }
  }
}

}  // namespace
}  // namespace mxfp4
