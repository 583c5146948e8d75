// The expert that every token goes through, beside those that a router chooses.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <variant>

#include "mxfp4/layer/dense_linear.h"
#include "mxfp4/layer/experts.h"
#include "mxfp4/layer/linear.h"

namespace mxfp4 {

/// A gated MLP, y = weight * down(unit(gate(x), up(x))), with the weight 1 (DeepSeek), or the sigmoid of
/// share(x) (Qwen2-MoE). Several shared experts of a layer are one with their rows side by side. Movable;
/// may be called from several threads at once.
class SharedExpert {
 public:
  /// MXFP4, or what a quantiser has kept.
  using Projection = std::variant<Linear, DenseLinear>;

  /// Throws Error invalid_argument for shapes that do not fit each other, and a unit as Experts does.
  SharedExpert(Projection gate, Projection up, Projection down, const GatedUnit& unit,
               std::optional<DenseLinear> share = {});

  std::int64_t hidden() const noexcept;
  std::int64_t intermediate() const noexcept;
  std::size_t memory() const noexcept;  ///< bytes that this layer owns

  /// Adds to y [T, H] what becomes of x: F32, BF16 or F16, [..., H], T rows, any strides.
  void add(const DenseView& x, float* y, const ForwardOptions& options = {}) const;

 private:
  Projection gate_, up_, down_;
  GatedUnit unit_;
  std::optional<DenseLinear> share_;
  Isa isa_ = default_isa();
};

}  // namespace mxfp4
