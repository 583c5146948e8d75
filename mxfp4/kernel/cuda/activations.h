// Activations as one or two bf16 terms each, which are rows of their own; outputs are sums of theirs.
#pragma once

#include <cstdint>

#include "mxfp4/codec/float16.h"

namespace mxfp4::kernel::cuda {

/// x = hi + lo to 16 bits of x: exact for f16. What is not finite stands in hi alone.
struct Terms {
  std::uint16_t hi, lo;
};

MXFP4_CODEC Terms terms_of(float x) noexcept {
  std::uint16_t hi = f32_to_bf16(x);
  if (!is_finite(x)) return {hi, 0};
  if (!is_finite(bf16_to_f32(hi)))
    hi = static_cast<std::uint16_t>(f32_bits(x) >> 16);  // not past the largest
  return {hi, f32_to_bf16(x - bf16_to_f32(hi))};
}

/// A gated unit, as GatedUnitArgs (kernel/expert_ops.h) has it.
struct Unit {
  float alpha = 1, beta = 0, limit = 0;
};

}  // namespace mxfp4::kernel::cuda
