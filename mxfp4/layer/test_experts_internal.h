// Random experts, and a plain judge for them.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "mxfp4/layer/experts.h"
#include "mxfp4/layer/test_layer_internal.h"

namespace mxfp4::test {

/// Experts of one layer with all that they refer to.
struct ExpertModel {
  std::int64_t experts, hidden, intermediate;
  Mxfp4Tensor gate_up, down;  ///< [E, 2 I, H], [E, H, I]
  std::vector<float> gate_up_bias, down_bias;
  std::vector<GatedUnit> unit = {GatedUnit::swiglu_oai()};
  bool alternate = true;  ///< rows of gate and up; or gate stands before up

  ExpertModel(std::int64_t e, std::int64_t h, std::int64_t i, unsigned seed = 1)
      : experts(e),
        hidden(h),
        intermediate(i),
        gate_up(random_weight(e * 2 * i, h, 118, 121, seed)),
        down(random_weight(e * h, i, 118, 121, seed + 1)),
        gate_up_bias(normal(static_cast<std::size_t>(e * 2 * i), seed + 2)),
        down_bias(normal(static_cast<std::size_t>(e * h), seed + 3)) {
    gate_up.shape = {e, 2 * i, h};
    down.shape = {e, h, i};
  }

  ExpertMatrices gate_up_matrices() const {
    return stacked(gate_up.view(), dense_view(gate_up_bias.data(), Dtype::f32, {experts, 2 * intermediate}));
  }
  ExpertWeights weights() const {
    ExpertWeights w;
    if (alternate) {
      w.gate_up = gate_up_matrices();
    } else {
      w.gate = rows_of_each(gate_up_matrices(), 0, intermediate);
      w.up = rows_of_each(gate_up_matrices(), intermediate, intermediate);
    }
    w.down = stacked(down.view(), dense_view(down_bias.data(), Dtype::f32, {experts, hidden}));
    w.unit = unit;
    return w;
  }
};

/// What goes in.
struct ExpertBatch {
  std::vector<float> x;
  std::vector<std::int32_t> ids;
  std::vector<float> weights;
  int top_k;

  /// Every token goes to different experts; one slot in `absent` to nobody.
  ExpertBatch(const ExpertModel& model, std::size_t tokens, int k, unsigned seed = 5, unsigned absent = 9)
      : x(normal(tokens * static_cast<std::size_t>(model.hidden), seed)), top_k(k) {
    std::mt19937 random(seed);
    std::vector<std::int32_t> all(static_cast<std::size_t>(model.experts));
    for (std::size_t e = 0; e < all.size(); ++e) all[e] = static_cast<std::int32_t>(e);
    for (std::size_t t = 0; t < tokens; ++t) {
      std::shuffle(all.begin(), all.end(), random);
      for (int s = 0; s < k; ++s) {
        const bool nobody = absent != 0 && random() % absent == 0;
        ids.push_back(nobody ? -1 : all[static_cast<std::size_t>(s) % all.size()]);
        weights.push_back(static_cast<float>(random() % 1000) / 1000);
      }
    }
  }
  std::size_t tokens() const noexcept { return ids.size() / static_cast<std::size_t>(top_k); }
  ExpertChoice choice() const { return {ids.data(), weights.data(), top_k}; }
};

inline std::vector<float> forward(const Experts& layer, const ExpertBatch& batch,
                                  const ForwardOptions& options = {Activation::exact, 1}) {
  std::vector<float> y(batch.x.size(), -7);
  const auto tokens = static_cast<std::int64_t>(batch.tokens());
  layer.forward(dense_view(batch.x.data(), Dtype::f32, {tokens, layer.hidden()}), batch.choice(), Dtype::f32,
                y.data(), options);
  return y;
}

/// The layer in double precision, and for each output sum |weight| * (sum |w * activation| + |bias|).
inline Expected expected_experts(const ExpertModel& model, const ExpertBatch& batch) {
  const auto hidden = static_cast<std::size_t>(model.hidden),
             inner = static_cast<std::size_t>(model.intermediate);
  Expected total{std::vector<double>(batch.x.size()), std::vector<double>(batch.x.size())};
  const auto row = [](const Mxfp4Tensor& t, std::size_t e, std::size_t n) {
    return e * static_cast<std::size_t>(t.shape[1]) + n;
  };
  for (std::size_t i = 0; i < batch.ids.size(); ++i) {
    if (batch.ids[i] < 0) continue;
    const auto e = static_cast<std::size_t>(batch.ids[i]);
    const std::size_t t = i / static_cast<std::size_t>(batch.top_k);
    const GatedUnit unit = model.unit[model.unit.size() == 1 ? 0 : e];
    const auto projection = [&](std::size_t n) {
      double sum = static_cast<double>(model.gate_up_bias[e * 2 * inner + n]);
      for (std::size_t k = 0; k < hidden; ++k) {
        sum += weight_at(model.gate_up.view(), row(model.gate_up, e, n), k) *
               static_cast<double>(batch.x[t * hidden + k]);
      }
      return sum;
    };
    std::vector<double> activated;
    for (std::size_t n = 0; n < inner; ++n) {
      const double limit = static_cast<double>(unit.limit);
      const double gate = std::min(projection(model.alternate ? 2 * n : n), limit);
      const double up = std::clamp(projection(model.alternate ? 2 * n + 1 : inner + n), -limit, limit);
      activated.push_back(gate / (1 + std::exp(-static_cast<double>(unit.alpha) * gate)) *
                          (up + static_cast<double>(unit.beta)));
    }
    const auto weight = static_cast<double>(batch.weights[i]);
    for (std::size_t n = 0; n < hidden; ++n) {
      const auto bias = static_cast<double>(model.down_bias[e * hidden + n]);
      double sum = bias, magnitude = std::fabs(bias);
      for (std::size_t k = 0; k < inner; ++k) {
        const double product = weight_at(model.down.view(), row(model.down, e, n), k) * activated[k];
        sum += product;
        magnitude += std::fabs(product);
      }
      total.y[t * hidden + n] += weight * sum;
      total.magnitude[t * hidden + n] += weight * magnitude;
    }
  }
  return total;
}

}  // namespace mxfp4::test
