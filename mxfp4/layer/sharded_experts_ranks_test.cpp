#include <gtest/gtest.h>

#include "mxfp4/base/test_error_internal.h"
#include "mxfp4/comm/test_ranks_internal.h"
#include "mxfp4/layer/shard_weights.h"
#include "mxfp4/layer/sharded_experts.h"
#include "mxfp4/layer/test_experts_internal.h"

namespace mxfp4 {
namespace {

using test::ExpertBatch;
using test::ExpertModel;

const ForwardOptions kPlain = {Activation::exact, 1};  // there may be more ranks than processors

std::optional<Experts> own_experts(const ExpertWeights& all, const ShardPlan& plan,
                                   std::size_t* read = nullptr) {
  const std::optional<WeightShard> shard = shard_weights(all, plan, ranks().rank());
  if (!shard) return std::nullopt;
  LayerOptions options{.context = {1, default_isa()}};
  if (read != nullptr)
    options.done_with = [read](std::span<const std::uint8_t> piece) { *read += piece.size(); };
  return Experts(shard->weights, options);
}

std::vector<float> forward(const ShardedExperts& layer, const ExpertBatch& batch, ForwardOptions options,
                           bool weights_on_input = false) {
  std::vector<float> y(batch.x.size(), -7);
  ExpertChoice choice = batch.choice();
  choice.weights_on_input = weights_on_input;
  const DenseView x =
      dense_view(batch.x.data(), Dtype::f32, {static_cast<std::int64_t>(batch.tokens()), layer.hidden()});
  layer.forward(x, choice, Dtype::f32, y.data(), options);
  return y;
}

std::vector<float> alone(const ExpertModel& model, const ExpertBatch& batch, ForwardOptions options,
                         bool weights_on_input = false) {
  const Experts layer(model.weights(), {.context = {1, default_isa()}});
  std::vector<float> y(batch.x.size());
  ExpertChoice choice = batch.choice();
  choice.weights_on_input = weights_on_input;
  layer.forward(
      dense_view(batch.x.data(), Dtype::f32, {static_cast<std::int64_t>(batch.tokens()), model.hidden}),
      choice, Dtype::f32, y.data(), options);
  return y;
}

/// Experts of which some are much larger than others, so that plans differ from one to the other.
ExpertModel uneven_model() {
  ExpertModel model(6, 1024, 160, 3);
  for (std::size_t i = model.gate_up.scales.size() / 2; i < model.gate_up.scales.size(); i += 7)
    model.gate_up.scales[i] = 126;
  // Scales so far apart that exact keeps floats, of all experts' tokens.
  model.gate_up.scales.back() = 10;
  return model;
}

std::vector<ExpertMap> maps() {
  const int count = ranks().size();
  std::vector<std::vector<std::int32_t>> scattered(static_cast<std::size_t>(count)), copies = scattered;
  std::vector<std::int64_t> uneven(static_cast<std::size_t>(count), 0);
  uneven.back() = 6;  // the others have none
  for (std::int32_t e = 0; e < 6; ++e) {
    scattered[static_cast<std::size_t>((5 - e) % count)].push_back(e);
    for (int copy = 0; copy < std::min(count, 1 + e % 3); ++copy)
      copies[static_cast<std::size_t>((e + copy) % count)].push_back(e);
  }
  return {ExpertMap::even(6, count), ExpertMap::ranges(uneven), ExpertMap(6, scattered),
          ExpertMap(6, copies)};
}

TEST(ShardedExperts, HaveTheBitsOfOneProcessWhoeverOwnsWhat) {
  const ExpertModel model = uneven_model();
  for (const ExpertMap& map : maps()) {
    const ShardPlan plan{map};
    const ShardedExperts layer(ranks(), plan, own_experts(model.weights(), plan));
    for (const Activation activation : {Activation::exact, Activation::int8, Activation::mxfp8}) {
      for (const std::size_t tokens : {0, 1, 3, 40}) {
        const ExpertBatch batch(model, tokens, 4);
        EXPECT_EQ(forward(layer, batch, {activation, 1}), alone(model, batch, {activation, 1}))
            << tokens << " tokens on rank " << ranks().rank();
      }
    }
  }
}

TEST(ShardedExperts, TakeWeightsOfTheInputAndExpertsThatAreNamedTwice) {
  const ExpertModel model = uneven_model();
  const ShardPlan plan = share_experts(6, ranks().size());
  const ShardedExperts layer(ranks(), plan, own_experts(model.weights(), plan));
  ExpertBatch batch(model, 9, 3);
  for (std::size_t i = 0; i < batch.ids.size(); i += 3) batch.ids[i] = batch.ids[i + 2] = 5;
  EXPECT_EQ(forward(layer, batch, kPlain, true), alone(model, batch, kPlain, true));
  EXPECT_EQ(forward(layer, batch, kPlain), alone(model, batch, kPlain));
}

TEST(ShardedExperts, TakeMoreTokensThanAreExchangedAtOnce) {
  const ExpertModel model(2 * ranks().size(), 32, 32);
  const ShardPlan plan = share_experts(model.experts, ranks().size());
  const ShardedExperts layer(ranks(), plan, own_experts(model.weights(), plan));
  const ExpertBatch batch(model, 2500, 2);
  EXPECT_EQ(forward(layer, batch, kPlain), alone(model, batch, kPlain));
}

TEST(ShardedExperts, WriteSmallDtypesOfStridedInput) {
  const ExpertModel model(ranks().size(), 64, 32);
  const ShardPlan plan = share_experts(model.experts, ranks().size());
  const ShardedExperts layer(ranks(), plan, own_experts(model.weights(), plan));
  const Experts whole(model.weights(), {.context = {1, default_isa()}});
  const ExpertBatch batch(model, 4, 1);
  const DenseView x = dense_view(batch.x.data(), Dtype::f32, {2, 2, 64}).transposed(0, 1);
  for (const Dtype dtype : {Dtype::bf16, Dtype::f16}) {
    std::vector<std::uint16_t> y(4 * 64), expected(4 * 64);
    layer.forward(x, batch.choice(), dtype, y.data(), kPlain);
    whole.forward(x, batch.choice(), dtype, expected.data(), kPlain);
    EXPECT_EQ(y, expected);
  }
}

void expect_near_expected(const ExpertModel& model, const ShardPlan& plan) {
  const ShardedExperts layer(ranks(), plan, own_experts(model.weights(), plan));
  const ExpertBatch batch(model, 21, 2);
  const test::Expected expected = test::expected_experts(model, batch);
  const std::vector<float> y = forward(layer, batch, kPlain);
  const std::vector<float> one = alone(model, batch, kPlain);
  double worst = 0, worst_alone = 0;
  for (std::size_t i = 0; i < y.size(); ++i) {
    if (expected.magnitude[i] == 0) continue;
    worst = std::max(worst, std::fabs(static_cast<double>(y[i]) - expected.y[i]) / expected.magnitude[i]);
    worst_alone =
        std::max(worst_alone, std::fabs(static_cast<double>(one[i]) - expected.y[i]) / expected.magnitude[i]);
  }
  // An addition of f32 for each rank, and what one process does.
  EXPECT_LE(worst, 2 * worst_alone + 0x1p-23 * (1 + ranks().size()));
}

TEST(ShardedExperts, ShareChannelsWithinTheRoundingOfASum) {
  for (const bool alternate : {true, false}) {
    ExpertModel model(4, 96, 160);
    model.alternate = alternate;
    expect_near_expected(model, share_experts(4, ranks().size(), ranks().size()));
  }
}

TEST(ShardedExperts, PadChannelsToTheMultipleThatIsAskedFor) {
  ShardPlan plan = share_experts(4, ranks().size(), ranks().size());
  plan.multiple = 64;
  expect_near_expected(ExpertModel(4, 64, 64 * ranks().size() - 32), plan);
}

TEST(ShardedExperts, ShareExpertsAndChannels) {
  if (ranks().size() % 2 != 0) return;  // in groups of two
  expect_near_expected(ExpertModel(5, 64, 96), share_experts(5, ranks().size(), 2));
  ShardPlan copies = share_experts(5, ranks().size(), 2);
  copies.experts = ExpertMap(5, std::vector<std::vector<std::int32_t>>(
                                    static_cast<std::size_t>(ranks().size() / 2), {0, 1, 2, 3, 4}));
  expect_near_expected(ExpertModel(5, 64, 96), copies);
}

TEST(ShardedExperts, ReadTheirOwnPartOnly) {
  const ExpertModel model(12, 64, 384);
  const auto all =
      static_cast<std::size_t>(model.gate_up.view().code_bytes() + model.gate_up.view().scale_bytes() +
                               model.down.view().code_bytes() + model.down.view().scale_bytes());
  for (const int tensor : {1, ranks().size()}) {
    std::size_t read = 0;
    own_experts(model.weights(), share_experts(12, ranks().size(), tensor), &read);
    EXPECT_EQ(read, all / static_cast<std::size_t>(ranks().size())) << "in groups of " << tensor;
  }
}

TEST(ShardedExperts, RefuseAPlanForOthers) {
  const ExpertModel model(6, 32, 32);
  const ShardPlan plan = share_experts(6, ranks().size() + 1);
  const Error error = error_of([&] { ShardedExperts(ranks(), plan, own_experts(model.weights(), plan)); });
  EXPECT_EQ(error.what(), "sharded experts: a plan for " + std::to_string(ranks().size() + 1) +
                              " ranks, but there are " + std::to_string(ranks().size()));
  const Error cut = error_of([&] { shard_weights(model.weights(), share_experts(6, 2, 2), 0); });
  EXPECT_STREQ(cut.what(), "tensor parallel: 32 channels are 1 times 32, too few for 2 ranks");
}

}  // namespace
}  // namespace mxfp4
