#include "mxfp4/quantize/tensor_error.h"

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "mxfp4/base/error.h"
#include "mxfp4/quantize/quantize.h"

namespace mxfp4 {
namespace {

std::vector<float> gaussian(std::size_t n) {
  std::mt19937 random(8);
  std::normal_distribution<float> normal;
  std::vector<float> x(n);
  for (float& value : x) value = normal(random);
  return x;
}

TEST(TensorError, IsWhatItsDefinitionsSay) {
  constexpr std::int64_t kRows = 50, kColumns = 70;  // the last block of a row is short
  const std::vector<float> x = gaussian(kRows * kColumns);
  const DenseView view = dense_view(x.data(), Dtype::f32, {kRows, kColumns});
  ErrorStats stats;
  QuantizeOptions options;
  options.recipe.scale = ScaleRule::floor;  // saturates some
  const Mxfp4Tensor t = quantize(view, options, &stats);
  std::vector<float> q(x.size());
  dequantize(t.view(), Dtype::f32, q.data());

  std::vector<TensorError> rows(kRows);
  const TensorError error = tensor_error(view, t.view(), rows);
  double signal = 0, noise = 0, energy = 0, product = 0, most = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double a = x[i], b = q[i];
    signal += a * a, noise += (a - b) * (a - b), energy += b * b, product += a * b;
    most = std::max(most, std::fabs(a - b));
  }
  EXPECT_NEAR(error.signal, signal, 1e-9 * signal);
  EXPECT_NEAR(error.noise, noise, 1e-9 * noise);
  EXPECT_NEAR(error.relative_error(), std::sqrt(noise / signal), 1e-12);
  EXPECT_NEAR(error.cosine(), product / std::sqrt(signal * energy), 1e-12);
  EXPECT_NEAR(error.sqnr_db(), stats.sqnr_db(), 1e-9);
  EXPECT_EQ(error.max_error, most);
  EXPECT_EQ(error.saturated, stats.saturated);
  EXPECT_GT(error.saturated, 0u);
  EXPECT_EQ(error.elements, x.size());
  EXPECT_EQ(error.sign_flips, 0u);

  TensorError sum;
  for (const TensorError& row : rows) sum.add(row);
  EXPECT_NEAR(sum.noise, noise, 1e-9 * noise);
  EXPECT_EQ(sum.max_error, most);
  EXPECT_EQ(rows[7].elements, static_cast<std::uint64_t>(kColumns));
}

TEST(TensorError, DoesNotDependOnThreads) {
  const std::vector<float> x = gaussian(1 << 20);
  const DenseView view = dense_view(x.data(), Dtype::f32, {1 << 10, 1 << 10});
  const Mxfp4Tensor t = quantize(view);
  const TensorError one = tensor_error(view, t.view(), {}, {1, default_isa()});
  const TensorError three = tensor_error(view, t.view(), {}, {3, default_isa()});
  EXPECT_EQ(one.noise, three.noise);
  EXPECT_EQ(one.product, three.product);
}

TEST(TensorError, CountsFlipsAndWhatItLeavesOut) {
  std::vector<float> x(64, 1.0f);
  Mxfp4Tensor t = quantize(dense_view(x.data(), Dtype::f32, {2, 32}));
  x[0] = -1;          // its code says 1
  x[1] = -0x1p-140f;  // tiny: the product with q underflows, the sign still differs
  x[2] = std::numeric_limits<float>::quiet_NaN();
  t.scales[1] = 255;
  const TensorError error = tensor_error(dense_view(x.data(), Dtype::f32, {2, 32}), t.view());
  EXPECT_EQ(error.sign_flips, 2u);
  EXPECT_EQ(error.left_out, 33u);
  EXPECT_EQ(error.elements, 31u);
  EXPECT_EQ(error.max_error, 2.0);
}

TEST(TensorError, OfNothingIsNothing) {
  const std::vector<float> zeros(32);
  const DenseView view = dense_view(zeros.data(), Dtype::f32, {1, 32});
  const TensorError error = tensor_error(view, quantize(view).view());
  EXPECT_EQ(error.sqnr_db(), std::numeric_limits<double>::infinity());
  EXPECT_EQ(error.relative_error(), 0);
  EXPECT_EQ(error.cosine(), 1);
  const DenseView empty = dense_view(zeros.data(), Dtype::f32, {0, 32});
  EXPECT_EQ(tensor_error(empty, quantize(empty).view()).elements, 0u);
}

TEST(TensorError, RefusesWhatCannotBeCompared) {
  const std::vector<float> x(64, 1.0f);
  const DenseView view = dense_view(x.data(), Dtype::f32, {2, 32});
  const Mxfp4Tensor t = quantize(view);
  std::vector<TensorError> rows(3);
  EXPECT_THROW(tensor_error(dense_view(x.data(), Dtype::f32, {1, 64}), t.view()), Error);
  EXPECT_THROW(tensor_error(dense_view(x.data(), Dtype::u8, {2, 32}), t.view()), Error);
  EXPECT_THROW(tensor_error(view, t.view(), rows), Error);
}

}  // namespace
}  // namespace mxfp4
