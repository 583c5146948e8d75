#include "mxfp4/layer/expert_linear.h"

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "mxfp4/base/test_error_internal.h"
#include "mxfp4/codec/float16.h"
#include "mxfp4/layer/linear.h"
#include "mxfp4/layer/test_allocations_internal.h"
#include "mxfp4/layer/test_experts_internal.h"
#include "mxfp4/layer/test_linear_internal.h"

namespace mxfp4 {
namespace {

using test::ExpertModel;
using test::normal;

class ExpertLinearTest : public testing::TestWithParam<bool> {
 protected:
  const LayerOptions options_{.pack = GetParam()};
};
INSTANTIATE_TEST_SUITE_P(Experts, ExpertLinearTest, testing::Bool(), test::kName);

// For int8 every record is the same whatever the weight, so that the layers of single experts give the
// judges.
TEST_P(ExpertLinearTest, GathersTheRowsOfItsExperts) {
  const ExpertModel model(5, 100, 24);  // [5, 48, 100]
  const ExpertLinear layer(model.gate_up_matrices(), options_);
  EXPECT_EQ(layer.count(), 5);
  EXPECT_EQ(layer.rows(), 48);
  EXPECT_EQ(layer.columns(), 100);
  std::vector<Linear> single;
  for (std::size_t e = 0; e < 5; ++e) {
    single.emplace_back(model.gate_up_matrices().weights[e],
                        std::span(model.gate_up_bias).subspan(e * 48, 48), options_);
  }
  const std::vector<std::int32_t> ids = {3, 0, -1, 4, 4, 4, 2, -1, 3, 1, 0, 2};
  const std::vector<float> x = normal(12 * 100, 7);
  for (const bool per_slot : {false, true}) {
    const DenseView view =
        per_slot ? dense_view(x.data(), Dtype::f32, {4, 3, 100}) : dense_view(x.data(), Dtype::f32, {4, 100});
    std::vector<float> y(12 * 48, -7);
    layer.gather(view, ids.data(), 3, Dtype::f32, y.data(), {Activation::int8, 3});
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const std::size_t row = per_slot ? i : i / 3;
      std::vector<float> expected(48);
      if (ids[i] >= 0) {
        const std::vector<float> one(x.begin() + static_cast<std::ptrdiff_t>(row * 100),
                                     x.begin() + static_cast<std::ptrdiff_t>((row + 1) * 100));
        expected = test::forward(single[static_cast<std::size_t>(ids[i])], one, Activation::int8);
      }
      EXPECT_EQ(std::memcmp(y.data() + i * 48, expected.data(), 48 * sizeof(float)), 0) << "slot " << i;
    }
    std::vector<std::uint16_t> half(12 * 48);
    layer.gather(view, ids.data(), 3, Dtype::bf16, half.data(), {Activation::int8, 1});
    for (std::size_t i = 0; i < half.size(); ++i) EXPECT_EQ(half[i], f32_to_bf16(y[i]));
    const std::size_t before = test::allocations();
    layer.gather(view, ids.data(), 3, Dtype::bf16, half.data(), {Activation::int8, 1});
    EXPECT_EQ(test::allocations(), before);
  }
}

TEST_P(ExpertLinearTest, KeepsTheBoundOfExact) {
  const ExpertModel model(3, 320, 40);
  const ExpertLinear layer(model.gate_up_matrices(), options_);
  const std::vector<float> x = normal(320, 8);
  std::vector<float> y(80);
  for (std::int32_t expert = 0; expert < 3; ++expert) {
    layer.gather(dense_view(x.data(), Dtype::f32, {1, 320}), &expert, 1, Dtype::f32, y.data());
    const auto e = static_cast<std::size_t>(expert);
    const std::vector<float> bias(model.gate_up_bias.begin() + static_cast<std::ptrdiff_t>(e * 80),
                                  model.gate_up_bias.begin() + static_cast<std::ptrdiff_t>((e + 1) * 80));
    const auto error =
        test::relative_error(test::expected_linear(model.gate_up_matrices().weights[e], x, bias), y, 80);
    EXPECT_LE(error.rms, 0x1p-18);
    EXPECT_LE(error.most, 0x1p-13);
  }
}

// One expert's scales differ from block to block, those of the others do not: the plan of a token must serve
// all of them.
TEST_P(ExpertLinearTest, KeepsTheBoundWhereExpertsDiffer) {
  constexpr std::int64_t kRows = 64, kColumns = 1024;
  ExpertModel model(8, kColumns, kRows / 2);
  std::vector<float> x = normal(kColumns, 9);
  const std::size_t blocks = kColumns / 32, of_one = static_cast<std::size_t>(kRows) * blocks;
  for (std::size_t i = 0; i < model.gate_up.scales.size(); ++i) {
    const bool special = i / of_one == 5 && i % blocks == 3;
    model.gate_up.scales[i] = static_cast<std::uint8_t>(special ? 128 : 118);
  }
  for (std::size_t k = 96; k < 128; ++k) x[k] *= k == 100 ? 300.0f : 0.01f;
  const ExpertLinear layer(model.gate_up_matrices(), options_);
  for (const std::int32_t expert : {0, 5}) {
    std::vector<float> y(kRows);
    layer.gather(dense_view(x.data(), Dtype::f32, {1, kColumns}), &expert, 1, Dtype::f32, y.data());
    const auto first = static_cast<std::ptrdiff_t>(expert * kRows);
    const std::vector<float> bias(model.gate_up_bias.begin() + first,
                                  model.gate_up_bias.begin() + first + kRows);
    const auto error = test::relative_error(
        test::expected_linear(model.gate_up_matrices().weights[static_cast<std::size_t>(expert)], x, bias), y,
        kRows);
    EXPECT_LE(error.rms, 0x1p-18) << "expert " << expert;
    EXPECT_LE(error.most, 0x1p-13) << "expert " << expert;
  }
}

TEST_P(ExpertLinearTest, NamesWhatIsWrong) {
  const ExpertModel model(4, 64, 16);
  const ExpertLinear layer(model.gate_up_matrices(), options_);
  std::vector<float> x(6 * 64), y(6 * 32);
  std::vector<std::int32_t> ids = {0, 1, 2, 3, 4, 0};
  const auto message = [&](const Shape& shape, int top_k) {
    return std::string(error_of([&] {
                         layer.gather(dense_view(x.data(), Dtype::f32, shape), ids.data(), top_k, Dtype::f32,
                                      y.data());
                       }).what());
  };
  EXPECT_EQ(message({3, 64}, 2), "expert_linear: token 2, slot 0: expert 4 of 4");
  EXPECT_EQ(message({3, 32}, 2), "expert_linear: x has shape [3, 32], not [..., 64]");
  EXPECT_EQ(message({3, 2, 64}, 3), "expert_linear: x has shape [3, 2, 64], neither [T, 64] nor [T, 3, 64]");
  EXPECT_EQ(message({1, 3, 2, 64}, 2),
            "expert_linear: x has shape [1, 3, 2, 64], neither [T, 64] nor [T, 2, 64]");
  EXPECT_EQ(message({3, 64}, -1), "expert_linear: top_k is -1");
  EXPECT_EQ(error_of([] {
              stacked(Mxfp4View{nullptr, nullptr, {2, 32}});
            }).code(),
            ErrorCode::invalid_argument);
  EXPECT_STREQ(error_of([&] { rows_of_each(model.gate_up_matrices(), 20, 13); }).what(),
               "experts: there are no rows 20 to 33 in a matrix of shape [32, 64]");
}

}  // namespace
}  // namespace mxfp4
