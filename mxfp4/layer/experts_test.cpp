#include "mxfp4/layer/experts.h"

#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include "mxfp4/base/test_error_internal.h"
#include "mxfp4/codec/float16.h"
#include "mxfp4/layer/test_allocations_internal.h"
#include "mxfp4/layer/test_experts_internal.h"
#include "mxfp4/layer/test_linear_internal.h"

namespace mxfp4 {
namespace {

using test::ExpertBatch;
using test::ExpertModel;
using test::kActivations;
using test::same_bits;

/// Every test is run with packed weights, and with weights that are used where they lie.
class ExpertsTest : public testing::TestWithParam<bool> {
 protected:
  static Experts layer_of(const ExpertModel& model, LayerOptions options = {}) {
    options.pack = GetParam();
    return Experts(model.weights(), options);
  }
};
INSTANTIATE_TEST_SUITE_P(Experts, ExpertsTest, testing::Bool(), test::kName);

void expect_near(const ExpertModel& model, const ExpertBatch& batch, const std::vector<float>& y,
                 const std::string& what) {
  const auto error =
      test::relative_error(test::expected_experts(model, batch), y, static_cast<std::size_t>(model.hidden));
  // Two products in a row, each with the bound of `exact`, and the gated unit between them.
  EXPECT_LE(error.rms, 0x1p-16) << what;
  EXPECT_LE(error.most, 0x1p-12) << what;
}

TEST_P(ExpertsTest, ComputesWhatItsDefinitionSays) {
  for (const bool alternate : {true, false}) {
    for (const auto& [hidden, intermediate] : {std::pair{64, 96}, {100, 72}, {32, 8}, {288, 160}}) {
      ExpertModel model(7, hidden, intermediate);
      model.alternate = alternate;
      const Experts layer = layer_of(model);
      EXPECT_EQ(layer.count(), 7);
      EXPECT_EQ(layer.hidden(), hidden);
      EXPECT_EQ(layer.intermediate(), intermediate);
      for (const auto& [tokens, top_k] : {std::pair{1, 1}, {1, 4}, {5, 2}, {40, 4}, {300, 4}}) {
        if (tokens == 300 && hidden != 32) continue;  // several batches of experts
        const ExpertBatch batch(model, static_cast<std::size_t>(tokens), top_k);
        expect_near(
            model, batch, test::forward(layer, batch),
            fmt::format("{} x {}, {} tokens, top {}, {}", hidden, intermediate, tokens, top_k, alternate));
      }
    }
  }
}

TEST_P(ExpertsTest, HasEveryGatedUnit) {
  ExpertModel model(4, 64, 64);
  for (const std::vector<GatedUnit>& unit :
       {std::vector{GatedUnit::silu()}, std::vector{GatedUnit::silu(0.5f)},
        std::vector{GatedUnit{1.25f, 1, 2.5f}},
        std::vector{GatedUnit{1, 0, 1}, GatedUnit{2, 1, 2}, GatedUnit{3, 0.5f, 3}, GatedUnit{0, 4, 0.25f}}}) {
    model.unit = unit;
    const ExpertBatch batch(model, 9, 3);
    expect_near(model, batch, test::forward(layer_of(model), batch), fmt::format("limit {}", unit[0].limit));
  }
}

TEST_P(ExpertsTest, HasTheSameBitsForAnyThreadsBatchAndInstructionSet) {
  for (const bool alternate : {true, false}) {
    ExpertModel model(9, 224, 168);
    model.alternate = alternate;
    const ExpertBatch batch(model, 130, 4);
    for (const Activation activation : kActivations) {
      const Experts layer = layer_of(model);
      const std::vector<float> y = test::forward(layer, batch, {activation, 1});
      for (const int threads : {2, 3, 8}) {
        EXPECT_TRUE(same_bits(test::forward(layer, batch, {activation, threads}), y))
            << threads << " threads";
      }
      for (std::size_t t = 0; t < batch.tokens(); t += 13) {
        ExpertBatch one = batch;
        one.x.assign(batch.x.begin() + static_cast<std::ptrdiff_t>(t * 224),
                     batch.x.begin() + static_cast<std::ptrdiff_t>((t + 1) * 224));
        one.ids.assign(batch.ids.begin() + static_cast<std::ptrdiff_t>(t * 4),
                       batch.ids.begin() + static_cast<std::ptrdiff_t>((t + 1) * 4));
        one.weights.assign(batch.weights.begin() + static_cast<std::ptrdiff_t>(t * 4),
                           batch.weights.begin() + static_cast<std::ptrdiff_t>((t + 1) * 4));
        const std::vector<float> alone = test::forward(layer, one, {activation, 1});
        EXPECT_EQ(std::memcmp(alone.data(), y.data() + t * 224, 224 * sizeof(float)), 0) << "token " << t;
      }
      for (const Isa isa : built_isas()) {
        if (!supported(isa)) continue;
        LayerOptions options;
        options.context.isa = isa;
        EXPECT_TRUE(same_bits(test::forward(layer_of(model, options), batch, {activation, 1}), y))
            << to_string(isa);
      }
    }
  }
}

TEST_P(ExpertsTest, TakesAndGivesEveryFloat) {
  const ExpertModel model(4, 96, 64);
  const ExpertBatch batch(model, 12, 2);
  const Experts layer = layer_of(model);
  ExpertBatch rounded = batch;
  for (float& x : rounded.x) x = bf16_to_f32(f32_to_bf16(x));
  const std::vector<float> y = test::forward(layer, rounded);
  std::vector<std::uint16_t> in(batch.x.size()), out(batch.x.size());
  for (std::size_t i = 0; i < in.size(); ++i) in[i] = f32_to_bf16(batch.x[i]);
  const DenseView x = dense_view(in.data(), Dtype::bf16, {3, 4, 96});
  for (const Dtype dtype : {Dtype::bf16, Dtype::f16}) {
    layer.forward(x, batch.choice(), dtype, out.data());
    for (std::size_t i = 0; i < out.size(); ++i) {
      EXPECT_EQ(out[i], dtype == Dtype::bf16 ? f32_to_bf16(y[i]) : f32_to_f16(y[i]));
    }
  }
  std::vector<std::byte> unaligned(y.size() * 4 + 1);
  layer.forward(x, batch.choice(), Dtype::f32, unaligned.data() + 1);
  EXPECT_EQ(std::memcmp(unaligned.data() + 1, y.data(), y.size() * 4), 0);
}

TEST_P(ExpertsTest, PutsTheWeightsWhereTheyBelong) {
  const ExpertModel model(5, 64, 64);
  const ExpertBatch batch(model, 6, 2, 5, 0);
  const Experts layer = layer_of(model);
  std::vector<float> expected(batch.x.size());
  for (std::size_t i = 0; i < batch.ids.size(); ++i) {  // each route alone, its input multiplied here
    ExpertBatch one(model, 1, 1, 5, 0);
    for (std::size_t k = 0; k < 64; ++k) one.x[k] = batch.x[i / 2 * 64 + k] * batch.weights[i];
    one.ids = {batch.ids[i]};
    one.weights = {1};
    const std::vector<float> y = test::forward(layer, one);
    for (std::size_t k = 0; k < 64; ++k) expected[i / 2 * 64 + k] += y[k];
  }
  ExpertChoice choice = batch.choice();
  choice.weights_on_input = true;
  std::vector<float> y(batch.x.size());
  layer.forward(dense_view(batch.x.data(), Dtype::f32, {6, 64}), choice, Dtype::f32, y.data());
  for (std::size_t i = 0; i < y.size(); ++i) EXPECT_FLOAT_EQ(y[i], expected[i]);
}

// A block of up lies far above the others, and no block of gate: the records of the tokens must serve both.
TEST_P(ExpertsTest, KeepsTheBoundWhereUpDiffersFromGate) {
  constexpr std::size_t kHidden = 1024, kInner = 64, kBlocks = kHidden / 32;
  ExpertModel model(1, kHidden, kInner);
  model.alternate = false;
  std::vector<float> x = test::normal(kHidden, 9);
  for (std::size_t k = 96; k < 128; ++k) x[k] *= k == 100 ? 300.0f : 0.01f;
  for (std::size_t i = 0; i < model.gate_up.scales.size(); ++i) {
    const bool up = i / kBlocks >= kInner;
    model.gate_up.scales[i] = up && i % kBlocks == 3 ? 128 : 118;
    // Down copies its input, and gate is at its limit everywhere: y = 2^20 / 2 * up.
  }
  model.unit = {{0, 0, 0x1p20f}};
  std::fill_n(model.gate_up_bias.begin(), kInner, 1e9f);
  std::fill(model.gate_up_bias.begin() + kInner, model.gate_up_bias.end(), 0.0f);
  std::fill(model.down_bias.begin(), model.down_bias.end(), 0.0f);
  std::fill(model.down.scales.begin(), model.down.scales.end(), std::uint8_t{127});
  std::fill(model.down.codes.begin(), model.down.codes.end(), std::uint8_t{0});
  for (std::size_t n = 0; n < kHidden; ++n) {
    const std::size_t k = n % kInner;
    model.down.codes[(n * kInner + k) / 2] = k % 2 == 0 ? 0x02 : 0x20;  // 1
  }
  const std::int32_t expert = 0;
  const float weight = 0x1p-19f;
  std::vector<float> y(kHidden);
  layer_of(model).forward(dense_view(x.data(), Dtype::f32, {1, kHidden}), {&expert, &weight, 1}, Dtype::f32,
                          y.data());
  y.resize(kInner);
  const Mxfp4View up = rows_of_each(model.gate_up_matrices(), kInner, kInner).weights[0];
  const auto error = test::relative_error(test::expected_linear(up, x, {}), y, kInner);
  EXPECT_LE(error.rms, 0x1p-18);
  EXPECT_LE(error.most, 0x1p-13);
}

TEST_P(ExpertsTest, TakesNoTokensAndNoExperts) {
  const ExpertModel model(3, 64, 32);
  const Experts layer = layer_of(model);
  layer.forward(dense_view(nullptr, Dtype::f32, {0, 64}), {nullptr, nullptr, 2}, Dtype::f32, nullptr);
  const std::vector<float> x(2 * 64, 1.0f);
  std::vector<float> y(2 * 64, -7);
  layer.forward(dense_view(x.data(), Dtype::f32, {2, 64}), {nullptr, nullptr, 0}, Dtype::f32, y.data());
  EXPECT_EQ(y, std::vector<float>(2 * 64));
}

TEST_P(ExpertsTest, HasAnySize) {
  for (const auto& [hidden, intermediate] :
       {std::pair{1, 1}, {2, 3}, {33, 1}, {1, 33}, {31, 65}, {32, 0}, {0, 32}, {0, 0}}) {
    for (const bool alternate : {true, false}) {
      ExpertModel model(1, hidden, intermediate);
      model.alternate = alternate;
      const ExpertBatch batch(model, 3, 1);
      expect_near(model, batch, test::forward(layer_of(model), batch),
                  fmt::format("{} x {}", hidden, intermediate));
    }
  }
}

TEST_P(ExpertsTest, GivesZerosWhereNobodyIsChosen) {
  const ExpertModel model(3, 64, 32);
  ExpertBatch batch(model, 4, 2);
  std::fill(batch.ids.begin(), batch.ids.end(), -1);
  EXPECT_EQ(test::forward(layer_of(model), batch), std::vector<float>(batch.x.size()));
}

// The weights of the others lie in pages that cannot be read once the layer is made.
TEST(Experts, TouchesTheChosenExpertsOnly) {
  const ExpertModel model(6, 512, 512);
  const std::size_t page = 4096, bytes = model.gate_up.codes.size(), per_expert = bytes / 6;
  ASSERT_EQ(per_expert % page, 0u);
  void* const memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  std::memcpy(memory, model.gate_up.codes.data(), bytes);
  ExpertWeights weights = model.weights();
  Mxfp4View view = model.gate_up.view();
  view.codes = static_cast<const std::uint8_t*>(memory);
  weights.gate_up.weights = stacked(view).weights;
  const Experts layer(weights, {.pack = false});
  for (const std::size_t unused : {0, 1, 3, 5}) {
    ASSERT_EQ(mprotect(static_cast<std::byte*>(memory) + unused * per_expert, per_expert, PROT_NONE), 0);
  }
  ExpertBatch batch(model, 3, 2, 5, 0);
  batch.ids = {2, 4, 4, 2, 2, -1};
  expect_near(model, batch, test::forward(layer, batch), "in place");
  munmap(memory, bytes);
}

TEST_P(ExpertsTest, CountsATokenThatChoosesAnExpertTwice) {
  const ExpertModel model(2, 64, 32);
  ExpertBatch twice(model, 1, 2, 5, 0);
  twice.ids = {1, 1};
  twice.weights = {0.25f, 0.5f};
  expect_near(model, twice, test::forward(layer_of(model), twice), "twice");
}

TEST_P(ExpertsTest, KeepsNanToItsOwnToken) {
  const ExpertModel model(4, 64, 32);
  ExpertBatch batch(model, 5, 2, 5, 0);
  const Experts layer = layer_of(model);
  const std::vector<float> before = test::forward(layer, batch);
  batch.x[2 * 64 + 7] = std::nanf("");
  const std::vector<float> y = test::forward(layer, batch);
  for (std::size_t i = 0; i < y.size(); ++i) {
    EXPECT_TRUE(i / 64 == 2 ? std::isnan(y[i]) : y[i] == before[i]) << i;
  }
}

TEST_P(ExpertsTest, AllocatesNothingOnceItHasSeenABatch) {
  const ExpertModel model(8, 256, 128);
  const ExpertBatch batch(model, 64, 4);
  const Experts layer = layer_of(model);
  std::vector<float> y(batch.x.size());
  const DenseView x = dense_view(batch.x.data(), Dtype::f32, {64, 256});
  const ForwardOptions options{Activation::int8, 2};
  layer.forward(x, batch.choice(), Dtype::bf16, y.data(), options);
  const std::size_t before = test::allocations();
  layer.forward(x, batch.choice(), Dtype::bf16, y.data(), options);
  EXPECT_EQ(test::allocations(), before);
}

// Nor when other experts are chosen: few by many tokens, or many.
TEST_P(ExpertsTest, AllocatesNothingWhoeverIsChosen) {
  const ExpertModel model(64, 64, 32);
  const Experts layer = layer_of(model);
  constexpr std::int64_t kTokens = 600;
  std::vector<float> y(kTokens * 64);
  ExpertBatch batch(model, kTokens, 2, 5, 0);
  const DenseView all = dense_view(batch.x.data(), Dtype::f32, {kTokens, 64}), one = all.slice(0, 0, 1);
  const auto forward = [&](const DenseView& x, std::int32_t experts, Dtype dtype) {
    for (std::size_t i = 0; i < batch.ids.size(); ++i) {
      batch.ids[i] = static_cast<std::int32_t>(i % 2 + i / 2 * 2 % static_cast<std::size_t>(experts));
    }
    layer.forward(x, batch.choice(), dtype, y.data(), {Activation::exact, 4});
  };
  std::thread([&] {  // whose memory has not seen another layer
    forward(all, 64, Dtype::bf16);
    const std::size_t before = test::allocations();
    for (const std::int32_t experts : {2, 32, 64}) {
      forward(all, experts, Dtype::f32);
      forward(one, experts, Dtype::f32);
    }
    EXPECT_EQ(test::allocations(), before);
  })
      .join();
}

TEST_P(ExpertsTest, ServesSeveralThreadsAtOnce) {
  const ExpertModel model(6, 160, 96);
  const Experts layer = layer_of(model);
  std::vector<ExpertBatch> batches;
  std::vector<std::vector<float>> expected, y(4);
  for (unsigned i = 0; i < 4; ++i) {
    batches.emplace_back(model, 10 + i, 2, 40 + i);
    expected.push_back(test::forward(layer, batches.back()));
  }
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] { y[i] = test::forward(layer, batches[i], {Activation::exact, 2}); });
  }
  for (std::thread& thread : threads) thread.join();
  for (std::size_t i = 0; i < 4; ++i) EXPECT_TRUE(same_bits(y[i], expected[i]));
}

TEST_P(ExpertsTest, NamesWhatIsWrong) {
  const ExpertModel model(4, 64, 32);
  const auto message = [](const ExpertWeights& weights) {
    return std::string(error_of([&] { const Experts layer(weights, {.pack = GetParam()}); }).what());
  };
  const auto changed = [&](const auto& change) {
    ExpertWeights weights = model.weights();
    change(weights);
    return message(weights);
  };
  EXPECT_EQ(changed([](ExpertWeights& w) { w.gate_up = {}; }),
            "experts: either gate_up or gate and up must be given");
  EXPECT_EQ(changed([](ExpertWeights& w) { w.gate = w.gate_up; }),
            "experts: either gate_up or gate and up must be given");
  EXPECT_EQ(changed([](ExpertWeights& w) { w.down = {}; }), "experts: down: there are no weights");
  EXPECT_EQ(changed([](ExpertWeights& w) {
              w.gate_up.weights.pop_back();
              w.gate_up.bias = {};
            }),
            "experts: gate_up has 3 experts, not 4");
  EXPECT_EQ(changed([](ExpertWeights& w) { w.gate_up.weights[2].shape[0] = 63; }),
            "experts: gate_up: weight 2 has shape [63, 64], not [64, 64] as the first");
  EXPECT_EQ(changed([](ExpertWeights& w) { w.gate_up.weights[1].order = NibbleOrder::split16; }),
            "experts: gate_up: weight 1 has its nibbles in another order than the first");
  EXPECT_EQ(changed([](ExpertWeights& w) { w.gate_up.weights[3].block_size = 16; }),
            "experts: gate_up: weight 3 is in blocks of 16, not 32");
  EXPECT_EQ(changed([](ExpertWeights& w) {
              for (Mxfp4View& matrix : w.gate_up.weights) matrix.shape[0] = 62;
              w.gate_up.bias = {};
            }),
            "experts: gate_up has shape [62, 64], not [64, 64]");
  EXPECT_EQ(changed([](ExpertWeights& w) { w.down.bias.shape[1] = 63; }),
            "experts: down: the bias has shape [4, 63], not [4, 64]");
  EXPECT_EQ(changed([](ExpertWeights& w) {
              w.down.weights[0].shape = {1, 64, 32};
            }),
            "experts: down: weight 0 has shape [1, 64, 32], not [N, K]");
  EXPECT_EQ(changed([](ExpertWeights& w) { w.down.bias.dtype = Dtype::i32; }),
            "experts: down: the bias is I32; F32, BF16 and F16 can be");
  EXPECT_EQ(changed([](ExpertWeights& w) { w.unit.resize(3); }), "experts: 3 gated units for 4 experts");
  const float nan = std::nanf("");
  for (const GatedUnit& unit :
       {GatedUnit{nan, 0, 1}, GatedUnit{1, test::kInfinity, 1}, GatedUnit{1, 0, nan}, GatedUnit{1, 0, -2}}) {
    EXPECT_EQ(changed([&](ExpertWeights& w) { w.unit = {unit}; }),
              fmt::format("experts: a gated unit with alpha {}, beta {}, limit {}", unit.alpha, unit.beta,
                          unit.limit));
  }

  const Experts layer = layer_of(model);
  ExpertBatch batch(model, 3, 2, 5, 0);
  float y[3 * 64];
  const auto forward = [&](const DenseView& x, Dtype dtype) {
    return std::string(error_of([&] { layer.forward(x, batch.choice(), dtype, y); }).what());
  };
  const DenseView x = dense_view(batch.x.data(), Dtype::f32, {3, 64});
  for (const std::int32_t wrong : {4, -2}) {
    batch.ids[3] = wrong;
    EXPECT_EQ(forward(x, Dtype::f32), fmt::format("experts: token 1, slot 1: expert {} of 4", wrong));
  }
  EXPECT_EQ(forward(dense_view(batch.x.data(), Dtype::f32, {3, 32}), Dtype::f32),
            "experts: x has shape [3, 32], not [..., 64]");
  EXPECT_EQ(forward(x, Dtype::f64), "experts: y is F64; F32, BF16 and F16 can be");
  batch.top_k = -1;
  EXPECT_EQ(forward(x, Dtype::f32), "experts: top_k is -1");
}

}  // namespace
}  // namespace mxfp4
