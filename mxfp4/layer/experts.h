// The experts of a mixture: fused gate, up and down projections whose weights stay MXFP4.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

#include "mxfp4/layer/expert_matrices.h"
#include "mxfp4/layer/options.h"
#include "mxfp4/tensor/dtype.h"
#include "mxfp4/tensor/view.h"

namespace mxfp4 {

class Router;

/// The gated unit between the projections:
///
///   gate = min(gate, limit), up = min(max(up, -limit), limit)
///   gate * sigmoid(alpha * gate) * (up + beta)
struct GatedUnit {
  float alpha = 1, beta = 0;
  float limit = std::numeric_limits<float>::infinity();

  /// gpt-oss: alpha 1.702, beta 1, limit 7.
  static constexpr GatedUnit swiglu_oai(float alpha = 1.702f, float limit = 7) noexcept {
    return {alpha, 1, limit};
  }
  /// Mixtral, Qwen3-MoE, DeepSeek-V3; DeepSeek-V4 with limit 10.
  static constexpr GatedUnit silu(float limit = std::numeric_limits<float>::infinity()) noexcept {
    return {1, 0, limit};
  }
};

struct ExpertWeights {
  /// [2 I, H], rows alternately of gate and of up (gpt-oss); or none, and both apart. Where all of gate
  /// stands before all of up, rows_of_each() takes them apart.
  ExpertMatrices gate_up = {};
  ExpertMatrices gate = {}, up = {};                        ///< [I, H]
  ExpertMatrices down = {};                                 ///< [H, I]
  std::vector<GatedUnit> unit = {GatedUnit::swiglu_oai()};  ///< one for all experts, or one for each
};

/// What a batch asks of which experts.
struct ExpertChoice {
  const std::int32_t* ids = nullptr;  ///< [T, top_k]; -1: nobody, which adds nothing
  const float* weights = nullptr;     ///< [T, top_k]
  int top_k = 1;
  /// The weights multiply what goes into the experts, not what comes out of them.
  bool weights_on_input = false;
};

/// y[t] = sum over the chosen s of weight[s] * (down(unit(gate_up(x[t]))) + bias). Tokens are grouped by
/// expert, and each expert's weights are read once per batch; experts that nobody chose are not touched.
/// Results depend neither on the number of threads nor on the instruction set, and those of a token not on
/// the tokens beside it. Movable; forward() may be called from several threads at once. After a first call
/// with its largest batch, a thread allocates nothing more, whoever is chosen (no expert twice by a token).
class Experts {
 public:
  /// Throws Error invalid_argument for shapes that do not fit each other (named) and a unit whose alpha or
  /// beta is not finite or whose limit is NaN or below 0, unsupported if the machine lacks the context's
  /// instruction set, out_of_memory.
  explicit Experts(const ExpertWeights& weights, const LayerOptions& options = {});
  Experts(Experts&&) noexcept;
  Experts& operator=(Experts&&) noexcept;
  ~Experts();

  std::int64_t count() const noexcept;         ///< E
  std::int64_t hidden() const noexcept;        ///< H, of what goes in and comes out
  std::int64_t intermediate() const noexcept;  ///< I
  std::size_t memory() const noexcept;         ///< bytes that this layer owns

  /// As Linear::reserve(), for up to so many experts per token.
  void reserve(DeviceQueue& queue, std::size_t tokens, int top_k) const;

  /// x: F32, BF16 or F16, [..., H], T rows, any strides. Writes [T, H] elements of `dtype` (F32, BF16, F16)
  /// without gaps to y, which must not overlap x. Throws Error invalid_argument for another shape or dtype,
  /// and for an id that is neither -1 nor in [0, E), naming token and slot; out_of_memory. In a queue ids and
  /// weights lie on the device as well, and an id that is no expert is nobody; else as Linear::forward().
  void forward(const DenseView& x, const ExpertChoice& choice, Dtype dtype, void* y,
               const ForwardOptions& options = {}) const;

 private:
  friend class ExpertsCall;
  friend class Mlp;
  friend class ShardedExperts;
  /// What becomes of a token depends on all experts that it may meet: numbers that tell of these ones, and
  /// plans that serve those of another process as well.
  std::vector<float> plan_numbers() const;
  void plan_for(const std::vector<float>& numbers);
  /// Whether a device does what this router says, from now on: without ids it chooses as well.
  bool route_by(const Router& router);
  void forward_routed(const DenseView& x, const std::int32_t* ids, int top_k, Dtype dtype, void* y,
                      const ForwardOptions& options) const;
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace mxfp4
