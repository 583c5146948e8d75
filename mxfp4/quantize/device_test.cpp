// quantize() and dequantize() on a device: the bytes and the statistics of the processor.
#include <cmath>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "mxfp4/base/error.h"
#include "mxfp4/kernel/test_device.h"
#include "mxfp4/quantize/quantize.h"

namespace mxfp4 {
namespace {

class QuantizeOnDevice : public kernel::OnDevice<QuantizeOptions> {
 protected:
  static std::vector<float> normal(std::size_t count) {
    std::mt19937 random(3);
    std::normal_distribution<float> distribution;
    std::vector<float> x(count);
    for (float& value : x) value = distribution(random);
    return x;
  }
};

TEST_F(QuantizeOnDevice, GivesTheBytesAndStatisticsOfTheProcessor) {
  const std::vector<float> x = normal(3 * 70 * 50);
  const DenseView view = dense_view(x.data(), Dtype::f32, {3, 70, 50});
  for (const int axis : {-1, 1, 0}) {
    for (const Preset& preset : presets()) {  // origins are left to the processor
      QuantizeOptions here;
      here.axis = options_.axis = axis;
      here.recipe = options_.recipe = preset.recipe;
      ErrorStats stats, expected_stats;
      const Mxfp4Tensor t = quantize(view, options_, &stats),
                        expected = quantize(view, here, &expected_stats);
      ASSERT_EQ(t.codes, expected.codes) << preset.name << ", axis " << axis;
      ASSERT_EQ(t.scales, expected.scales) << preset.name << ", axis " << axis;
      EXPECT_EQ(stats.noise, expected_stats.noise);
      EXPECT_EQ(quantize(view, options_).codes, expected.codes);
      std::vector<float> back(x.size()), expected_back(x.size());
      dequantize(t.view(), Dtype::f32, back.data(), options_.context);
      dequantize(t.view(), Dtype::f32, expected_back.data());
      EXPECT_EQ(back, expected_back);
    }
  }
}

TEST_F(QuantizeOnDevice, LeavesReferencesAndImportanceToTheProcessor) {
  const std::vector<float> x = normal(40 * 64);
  const DenseView view = dense_view(x.data(), Dtype::f32, {40, 64});
  const std::vector<std::uint8_t> reference(80, 126);
  const std::vector<float> importance(64, 2.0f);
  options_.reference = reference.data();
  options_.importance = importance;
  QuantizeOptions here = options_;
  here.context.device = {};
  EXPECT_EQ(quantize(view, options_).scales, quantize(view, here).scales);
}

TEST_F(QuantizeOnDevice, NamesTheElementThatIsNotFinite) {
  std::vector<float> x = normal(5 * 40);
  x[2 * 40 + 7] = NAN;
  try {
    quantize(dense_view(x.data(), Dtype::f32, {5, 40}), options_);
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "quantize: element [2, 7] is NaN");
  }
}

TEST_F(QuantizeOnDevice, SaysThatThereIsNoSuchDevice) {
  options_.context.device.index = 99;
  const float x[32] = {};
  try {
    quantize(dense_view(x, Dtype::f32, {1, 32}), options_);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()).rfind(to_string(options_.context.device) + ": there are ", 0), 0u)
        << error.what();
  }
}

}  // namespace
}  // namespace mxfp4
