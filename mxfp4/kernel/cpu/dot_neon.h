// The primitives of a product in NEON: four rows a vector, four vectors a group.
//
//   16 code bytes      row 0: c0 c1 c2 c3    row 1: c0 c1 c2 c3    row 2 ...    row 3 ...
//   weights<false>            w0 w2 w4 w6           w0 w2 w4 w6      (low nibbles: these with `interleaved`)
//   quad                      x0 x2 x4 x6           x0 x2 x4 x6      (the digits that meet them)
//   smlal, smlal2        8 words: 4 products of row 0, 4 of row 1;   8 of rows 2 and 3
//   sdot (dot_neondot.h)      sum of row 0          sum of row 1     ...
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include <arm_neon.h>

#include "mxfp4/kernel/cpu/eight.h"
#include "mxfp4/kernel/cpu/packed.h"

namespace mxfp4::kernel {
namespace {

struct NeonProduct {
  static constexpr int kLanes = 4;
  static constexpr int kVectors = 4;
  static constexpr int kTileVectors = 4;
  // As many as 32 registers hold: counted in the compiled code, not timed.
  static constexpr int kTileTokens[] = {2, 1, 1, 3};
  static constexpr int kDirectTokens[] = {2, 1, 1};
  static constexpr std::size_t kMostDirect = 2;
  static constexpr std::size_t kDirectFloats = 1;
  static constexpr bool kKeepsWeights = false;

  using Floats = float32x4_t;
  using Ints = int32x4_t;
  using Codes = uint8x16_t;
  using Weights = int8x16_t;  ///< four of row 0, four of row 1, ...
  using Quad = int8x16_t;     ///< four digits, four times
  struct Sum {
    int16x8_t low, high;  ///< a word for each product of a step: rows 0 and 1, rows 2 and 3
  };

  static int32x4_t broadcast_dword(const std::byte* from) noexcept {
    std::int32_t x;
    std::memcpy(&x, from, sizeof x);
    return vdupq_n_s32(x);
  }
  static uint8x16_t load_bytes(const std::byte* from) noexcept {
    return vld1q_u8(reinterpret_cast<const std::uint8_t*>(from));
  }
  /// Twice the value of each code.
  static int8x16_t doubled(uint8x16_t codes) noexcept {
    static constexpr std::int8_t kDoubled[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
    return vqtbl1q_s8(vld1q_s8(kDoubled), codes);
  }

  static Codes codes(const std::byte* from) noexcept { return load_bytes(from); }
  template <bool kHigh>
  static Weights weights(Codes codes) noexcept {
    return doubled(kHigh ? vshrq_n_u8(codes, 4) : vandq_u8(codes, vdupq_n_u8(15)));
  }
  static std::int32_t offset(const Ints8&) noexcept { return 0; }
  static Sum start(const std::byte*) noexcept { return {vdupq_n_s16(0), vdupq_n_s16(0)}; }
  static Quad quad(const std::byte* from) noexcept { return vreinterpretq_s8_s32(broadcast_dword(from)); }
  // A word sums a product of each of eight steps: 8 * 12 * 128 at the most, and total() two of these.
  static void add(Sum& sum, Weights w, Quad x) noexcept {
    sum.low = vmlal_s8(sum.low, vget_low_s8(w), vget_low_s8(x));
    sum.high = vmlal_high_s8(sum.high, w, x);
  }
  static Ints total(const Sum& sum) noexcept { return vpaddlq_s16(vpaddq_s16(sum.low, sum.high)); }
  template <int kBits>
  static Ints joined(Ints high, Ints low) noexcept {
    return vaddq_s32(vshlq_n_s32(high, kBits), low);
  }

  static Ints exponents(const std::byte* bytes) noexcept {
    std::uint32_t four;
    std::memcpy(&four, bytes, sizeof four);
    const uint16x4_t words = vget_low_u16(vmovl_u8(vreinterpret_u8_u32(vdup_n_u32(four))));
    return vreinterpretq_s32_u32(vshlq_n_u32(vmovl_u16(words), 23));
  }
  static Floats scaled(Floats x, Ints exponents) noexcept {
    return vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(x), exponents));
  }
  static Floats converted(Ints x) noexcept { return vcvtq_f32_s32(x); }
  static Floats zero() noexcept { return vdupq_n_f32(0); }
  static Floats broadcast(const std::byte* from) noexcept {
    return vreinterpretq_f32_s32(broadcast_dword(from));
  }
  static Floats times(Floats x, Floats y) noexcept { return vmulq_f32(x, y); }
  static Floats fma(Floats x, Floats y, Floats z) noexcept { return vfmaq_f32(z, x, y); }
  static Floats load(const float* from) noexcept { return vld1q_f32(from); }
  static void store(float* to, Floats x) noexcept { vst1q_f32(to, x); }
  // The nibble goes to the highest byte of its lane, and twice its value becomes a number of 2^-25ths; the
  // other bytes are codes of 0.
  template <int i>
  static Floats values(const std::byte* codes) noexcept {
    const uint32x4_t bytes = vreinterpretq_u32_u8(load_bytes(codes));
    uint32x4_t moved;
    if constexpr (i < 7) {
      moved = vshlq_n_u32(bytes, 24 - 4 * i);
    } else {
      moved = vshrq_n_u32(bytes, 4);
    }
    const uint32x4_t nibbles = vandq_u32(moved, vdupq_n_u32(0x0F000000));
    return vcvtq_n_f32_s32(vreinterpretq_s32_s8(doubled(vreinterpretq_u8_u32(nibbles))), 25);
  }

  /// Four rows of a block, to four vectors of four bytes of each row.
  static void transpose(const std::uint8_t* codes, std::size_t stride, std::byte* out) noexcept {
    uint32x4_t x[4];
    for (std::size_t row = 0; row < 4; ++row) x[row] = vreinterpretq_u32_u8(vld1q_u8(codes + row * stride));
    const auto pairs = [](uint32x4_t a, uint32x4_t b) noexcept {  // 0 of both and 2 of both
      return vreinterpretq_u64_u32(vtrn1q_u32(a, b));
    };
    const auto odd_pairs = [](uint32x4_t a, uint32x4_t b) noexcept {
      return vreinterpretq_u64_u32(vtrn2q_u32(a, b));
    };
    const uint64x2_t even[2] = {pairs(x[0], x[1]), pairs(x[2], x[3])},
                     odd[2] = {odd_pairs(x[0], x[1]), odd_pairs(x[2], x[3])};
    const uint64x2_t by_dword[4] = {vtrn1q_u64(even[0], even[1]), vtrn1q_u64(odd[0], odd[1]),
                                    vtrn2q_u64(even[0], even[1]), vtrn2q_u64(odd[0], odd[1])};
    for (std::size_t j = 0; j < 4; ++j) {
      vst1q_u8(reinterpret_cast<std::uint8_t*>(out + 64 * j), vreinterpretq_u8_u64(by_dword[j]));
    }
  }
  static void pack_chunk(const std::uint8_t* codes, std::size_t code_stride, const std::uint8_t* scales,
                         std::size_t scale_stride, std::uint8_t base, std::byte* out) noexcept {
    std::uint8_t bytes[kChunkBlocks * kGroupRows];
    for (std::size_t row = 0; row < kGroupRows; ++row) {
      std::memcpy(bytes + kChunkBlocks * row, scales + row * scale_stride, kChunkBlocks);
    }
    const uint8x16x4_t by_block = vld4q_u8(bytes);
    for (std::size_t b = 0; b < kChunkBlocks; ++b) {
      const uint8x16_t difference = vsubq_u8(by_block.val[b], vdupq_n_u8(base));
      const uint8x16_t within = vcleq_u8(difference, vdupq_n_u8(kMostSpan));
      vst1q_u8(reinterpret_cast<std::uint8_t*>(out + kGroupRows * b), vandq_u8(difference, within));
      for (std::size_t row = 0; row < kGroupRows; row += 4) {
        transpose(codes + row * code_stride + 16 * b, code_stride,
                  out + kChunkBlocks * kGroupRows + kBlockCodes * b + 4 * row);
      }
    }
  }
  static void fence() noexcept {}
};

}  // namespace
}  // namespace mxfp4::kernel
