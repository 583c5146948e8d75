// f32 multiply-adds of NEON, with its dot product or without.
#pragma once

#include <cstddef>

#include <arm_neon.h>

namespace mxfp4::kernel {
namespace {

struct F32s128 {
  using Vector = float32x4_t;
  static constexpr std::size_t kOperations = 8;
  static Vector start() noexcept { return vdupq_n_f32(0); }
  static Vector operand() noexcept { return vdupq_n_f32(0.75f); }
  static Vector add(Vector sum, Vector a) noexcept { return vfmaq_f32(sum, a, a); }
};

}  // namespace
}  // namespace mxfp4::kernel
