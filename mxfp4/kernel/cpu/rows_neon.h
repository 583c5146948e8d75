// The primitives of a product with rows in NEON: four vectors hold a chunk, each of them a block.
#pragma once

#include <cstddef>
#include <cstdint>

#include <arm_neon.h>

#include "mxfp4/kernel/cpu/dot_neon.h"
#include "mxfp4/kernel/cpu/rows_format.h"

namespace mxfp4::kernel {
namespace {

struct NeonRows : NeonProduct {
  static constexpr std::size_t kRowTokens = 4;

  static int8x16_t digits(const std::byte* from) noexcept { return vreinterpretq_s8_u8(load_bytes(from)); }
  static Ints ints(const std::byte* from) noexcept { return vreinterpretq_s32_u8(load_bytes(from)); }
  static Floats floats(const std::byte* from) noexcept { return vreinterpretq_f32_u8(load_bytes(from)); }

  template <int kShift>
  static Ints add_products(Ints sum, Weights low, Weights high, const std::byte* x) noexcept {
    Sum products = {vdupq_n_s16(0), vdupq_n_s16(0)};
    add(products, low, digits(x));
    add(products, high, digits(x + kRowChunkCodes));
    return vaddq_s32(sum, vshlq_n_s32(total(products), kShift));
  }

  template <int kPart>
  static Floats chunk_scales(const std::byte* bytes) noexcept {
    return vreinterpretq_f32_u32(vdupq_n_u32(static_cast<std::uint32_t>(bytes[kPart]) << 23));
  }

  static float sum_of_lanes(const Floats (&parts)[4]) noexcept {
    const Floats four = vaddq_f32(vaddq_f32(parts[0], parts[2]), vaddq_f32(parts[1], parts[3]));
    const float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
    return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
  }
};

}  // namespace
}  // namespace mxfp4::kernel
