#include <cmath>
#include <random>
#include <set>

#include <gtest/gtest.h>

#include "mxfp4/checkpoint/test_model_internal.h"
#include "mxfp4/job/rule_trial_internal.h"
#include "mxfp4/quantize/quantize.h"

namespace mxfp4::job {
namespace {

/// A bare file of one F32 tensor with these elements.
void write_weight(const std::filesystem::path& path, const Shape& shape, const std::vector<float>& values) {
  const std::vector<safetensors::TensorSpec> tensors = {{"w", Dtype::f32, shape}};
  const safetensors::Layout layout = safetensors::layout(tensors, {});
  std::string content = layout.head;
  content.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
  write_text(path, content);
}

std::vector<float> normal(std::size_t count) {
  std::mt19937 random(5);
  std::normal_distribution<float> distribution;
  std::vector<float> values(count);
  for (float& value : values) value = distribution(random);
  return values;
}

Trial try_one(const std::filesystem::path& original, const std::filesystem::path& model, int threads) {
  const Checkpoint a = open_checkpoint(original), b = open_checkpoint(model);
  Pass pass(threads, nullptr, nullptr);
  return try_rules(match_weights(a, b).pairs, pass).at(0);
}

TEST(Strips, CoverASmallWeightOnce) {
  for (const Shape& shape : {Shape{1, 32}, Shape{3, 5, 96}, Shape{2000, 512}, Shape{1, 200'000}}) {
    const Strips strips(shape);
    std::int64_t elements = 0;
    std::set<std::pair<std::int64_t, std::int64_t>> begins;
    for (std::size_t i = 0; i < strips.count(); ++i) {
      const Strips::Strip strip = strips[i];
      elements += (strip.row_end - strip.row) * (strip.column_end - strip.column);
      begins.insert({strip.row, strip.column});
    }
    EXPECT_EQ(elements, element_count(shape)) << to_string(shape);
    EXPECT_EQ(begins.size(), strips.count());
  }
  EXPECT_EQ(Strips({0, 32}).count(), 0u);
  EXPECT_EQ(Strips({32, 0}).count(), 0u);
}

TEST(Strips, ReachAllPartsOfALargeWeightWithinABound) {
  for (const Shape& shape : {Shape{32, 5760, 2880}, Shape{1'000'000, 32}, Shape{7, 10'000'000}}) {
    const Strips strips(shape);
    std::int64_t elements = 0;
    const std::int64_t all = element_count(shape);
    std::set<std::int64_t> eighths;
    for (std::size_t i = 0; i < strips.count(); ++i) {
      const Strips::Strip strip = strips[i];
      const std::int64_t size = (strip.row_end - strip.row) * (strip.column_end - strip.column);
      EXPECT_GT(size, 0);
      EXPECT_LE(size, Strips::kElements);
      elements += size;
      eighths.insert((strip.row * shape.back() + strip.column) / (all / 8));
    }
    EXPECT_LE(elements, kSampleElements) << to_string(shape);
    EXPECT_GT(elements, kSampleElements / 2) << to_string(shape);
    EXPECT_EQ(eighths.size(), 8u) << to_string(shape);
  }
}

TEST(RuleTrial, GivesWhatQuantizingByEachRuleGives) {
  const TestDirectory directory;
  const Shape shape{3, 200, 352};
  const std::vector<float> values = normal(static_cast<std::size_t>(element_count(shape)));
  const DenseView view = dense_view(values.data(), Dtype::f32, shape);
  std::vector<float> half(values.size());
  QuantizeOptions options;
  options.recipe.scale = ScaleRule::floor;
  dequantize(quantize(view, options).view(), Dtype::f32, half.data());
  write_weight(directory / "a.safetensors", shape, values);
  write_weight(directory / "b.safetensors", shape, half);
  const Trial trial = try_one(directory / "a.safetensors", directory / "b.safetensors", 2);
  EXPECT_EQ(trial.elements, values.size());
  EXPECT_EQ(trial.blocks, values.size() / 32);
  for (const ScaleRuleInfo& rule : kScaleRules) {
    ErrorStats stats;
    options.recipe.scale = rule.rule;
    quantize(view, options, &stats);
    const RuleTrial& result = trial.rules[static_cast<std::size_t>(rule.rule)];
    EXPECT_NEAR(result.error.noise, stats.noise, 1e-9 * stats.noise) << rule.name;
    EXPECT_NEAR(result.error.signal, stats.signal, 1e-9 * stats.signal);
    EXPECT_EQ(result.saturated, stats.saturated);
    if (rule.rule == ScaleRule::floor) {
      EXPECT_NEAR(trial.error.noise, stats.noise, 1e-9 * stats.noise);
      EXPECT_EQ(result.same_blocks, trial.blocks);
    } else {
      EXPECT_LT(result.same_blocks, trial.blocks);
    }
  }
}

TEST(RuleTrial, TriesASampleOfALargeWeightWhateverTheThreads) {
  const TestDirectory directory;
  const Shape shape{3000, 704};
  const std::vector<float> values = normal(static_cast<std::size_t>(element_count(shape)));
  write_weight(directory / "a.safetensors", shape, values);
  const Trial one = try_one(directory / "a.safetensors", directory / "a.safetensors", 1);
  EXPECT_LE(one.elements, static_cast<std::uint64_t>(kSampleElements));
  EXPECT_NEAR(one.rules[static_cast<std::size_t>(ScaleRule::optimal)].error.sqnr_db(), 19.05, 0.05);
  EXPECT_EQ(one.error.noise, 0);
  for (const int threads : {2, 5}) {
    const Trial other = try_one(directory / "a.safetensors", directory / "a.safetensors", threads);
    for (std::size_t rule = 0; rule < one.rules.size(); ++rule) {
      EXPECT_EQ(other.rules[rule].error.noise, one.rules[rule].error.noise);
      EXPECT_EQ(other.rules[rule].error.signal, one.rules[rule].error.signal);
      EXPECT_EQ(other.rules[rule].saturated, one.rules[rule].saturated);
    }
  }
}

TEST(RuleTrial, NonFiniteOriginalsAreLeftOut) {
  const TestDirectory directory;
  std::vector<float> values = normal(64);
  values[3] = NAN;
  values[5] = INFINITY;
  write_weight(directory / "a.safetensors", {2, 32}, values);
  const Trial trial = try_one(directory / "a.safetensors", directory / "a.safetensors", 1);
  for (const RuleTrial& rule : trial.rules) EXPECT_TRUE(std::isfinite(rule.error.sqnr_db()));
}

}  // namespace
}  // namespace mxfp4::job
