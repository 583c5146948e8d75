// Weights, inputs and a plain judge for the tests of layers.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "mxfp4/codec/e2m1.h"
#include "mxfp4/codec/nibble.h"
#include "mxfp4/tensor/mxfp4_tensor.h"

namespace mxfp4::test {

/// Random codes, with scale bytes in [least, most].
inline Mxfp4Tensor random_weight(std::int64_t rows, std::int64_t columns, int least, int most,
                                 unsigned seed) {
  std::mt19937 random(seed);
  Mxfp4Tensor t;
  t.shape = {rows, columns};
  t.codes.resize(static_cast<std::size_t>(t.view().code_bytes()));
  t.scales.resize(static_cast<std::size_t>(t.view().scale_bytes()));
  for (std::uint8_t& byte : t.codes) byte = static_cast<std::uint8_t>(random());
  std::uniform_int_distribution<int> scale(least, most);
  for (std::uint8_t& byte : t.scales) byte = static_cast<std::uint8_t>(scale(random));
  return t;
}

inline std::vector<float> normal(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> distribution;
  std::vector<float> x(count);
  for (float& value : x) value = distribution(random);
  return x;
}

/// Element [row, k] as its definition says it.
inline double weight_at(const Mxfp4View& t, std::size_t row, std::size_t k) {
  const auto blocks = static_cast<std::size_t>(t.blocks_per_row());
  const std::uint8_t* const block = t.codes + (row * blocks + k / 32) * 16;
  const std::size_t i = k % 32;
  const bool interleaved = t.order == NibbleOrder::interleaved;
  const std::uint8_t byte = block[interleaved ? i / 2 : i % 16];
  const bool high = interleaved ? i % 2 == 1 : i >= 16;
  const std::uint8_t scale = t.scales[row * blocks + k / 32];
  if (scale == 255) return std::nan("");
  return static_cast<double>(e2m1_value(high ? byte >> 4 : byte & 15)) * std::ldexp(1.0, scale - 127);
}

/// y and sum |w x| in double, both [tokens, rows].
struct Expected {
  std::vector<double> y, magnitude;
};
inline Expected expected_linear(const Mxfp4View& weight, const std::vector<float>& x,
                                const std::vector<float>& bias) {
  const auto rows = static_cast<std::size_t>(weight.shape[0]),
             columns = static_cast<std::size_t>(weight.shape[1]);
  std::vector<double> w(rows * columns);
  for (std::size_t n = 0; n < rows; ++n) {
    for (std::size_t k = 0; k < columns; ++k) w[n * columns + k] = weight_at(weight, n, k);
  }
  Expected result;
  for (std::size_t t = 0; t * columns < x.size(); ++t) {
    for (std::size_t n = 0; n < rows; ++n) {
      double sum = 0, magnitude = 0;
      for (std::size_t k = 0; k < columns; ++k) {
        const double product = w[n * columns + k] * static_cast<double>(x[t * columns + k]);
        sum += product;
        magnitude += std::fabs(product);
      }
      result.y.push_back(sum + (bias.empty() ? 0.0 : static_cast<double>(bias[n])));
      result.magnitude.push_back(magnitude);
    }
  }
  return result;
}

/// Errors relative to sum |w x|: root mean square over the outputs of the worst token, and the largest.
struct RelativeError {
  double rms = 0, most = 0;
};
inline RelativeError relative_error(const Expected& expected, const std::vector<float>& y, std::size_t rows) {
  RelativeError worst;
  for (std::size_t first = 0; first < y.size(); first += rows) {
    double squares = 0;
    for (std::size_t i = first; i < first + rows; ++i) {
      const double error = std::fabs(static_cast<double>(y[i]) - expected.y[i]);
      if (error == 0) continue;
      const double relative = error / expected.magnitude[i];
      squares += relative * relative;
      worst.most = std::max(worst.most, relative);
    }
    worst.rms = std::max(worst.rms, std::sqrt(squares / static_cast<double>(rows)));
  }
  return worst;
}

}  // namespace mxfp4::test
