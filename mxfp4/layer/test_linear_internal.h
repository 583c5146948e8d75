// What the tests of Linear share.
#pragma once

#include <cstring>
#include <limits>
#include <span>
#include <vector>

#include <gtest/gtest.h>

#include "mxfp4/layer/linear.h"

namespace mxfp4::test {

inline constexpr Activation kActivations[] = {Activation::exact, Activation::int8, Activation::mxfp8};
inline constexpr float kInfinity = std::numeric_limits<float>::infinity();

inline LayerOptions on(Isa isa) {
  LayerOptions options;
  options.context.isa = isa;
  return options;
}

inline std::vector<float> forward(const Linear& layer, const std::vector<float>& x,
                                  Activation activation = Activation::exact, int threads = 1) {
  const auto tokens = static_cast<std::int64_t>(x.size()) / layer.columns();
  std::vector<float> y(static_cast<std::size_t>(tokens * layer.rows()));
  layer.forward(dense_view(x.data(), Dtype::f32, {tokens, layer.columns()}), Dtype::f32, y.data(),
                {activation, threads});
  return y;
}

/// Every test is run with a packed weight, and with one that is used where it lies.
class Layers : public testing::TestWithParam<bool> {
 protected:
  static bool packed() { return GetParam(); }
  static Linear layer_of(const Mxfp4View& weight, std::span<const float> bias = {},
                         LayerOptions options = {}) {
    options.pack = packed();
    return Linear(weight, bias, options);
  }
};
inline constexpr auto kName = [](const auto& test) { return test.param ? "packed" : "in_place"; };

inline bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

}  // namespace mxfp4::test
