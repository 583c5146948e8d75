// The primitives of a product in NEON with its matrix product: smmla multiplies two rows of eight weights
// with two tokens. A few tokens straight from packed weights, and floats, are left to the dot product.
//
//   weights            8 of row 0      8 of row 1
//   digits             8 of token 0    8 of token 1
//   sums, exponents    row 0 token 0, row 0 token 1, row 1 token 0, row 1 token 1
#pragma once

#include "mxfp4/kernel/cpu/block_product.h"
#include "mxfp4/kernel/cpu/dot_neondot.h"

namespace mxfp4::kernel {
namespace {

struct NeonI8mmMatrix {
  // As many as 32 registers hold, next to four vectors of weights: counted, not timed.
  static constexpr std::size_t kTokens[] = {4, 4, 2};

  // A block: [half of the 16 rows][8 digits of 4][pair of the half's rows][2 rows x 8 weights].
  static constexpr std::size_t kPairs = 4, kEights = 4, kHalfBytes = kEights * kPairs * 16;

  /// Two vectors of four weights a row, side by side.
  static void join(std::byte* to, int8x16_t a, int8x16_t b) noexcept {
    const int32x4_t x = vreinterpretq_s32_s8(a), y = vreinterpretq_s32_s8(b);
    vst1q_s8(reinterpret_cast<std::int8_t*>(to), vreinterpretq_s8_s32(vzip1q_s32(x, y)));
    vst1q_s8(reinterpret_cast<std::int8_t*>(to + 16), vreinterpretq_s8_s32(vzip2q_s32(x, y)));
  }
  /// In the order of the planes of digits: low nibbles before high ones.
  static void decode(std::byte* block, int r, const std::byte* packed) noexcept {
    std::byte* const to = block + static_cast<std::size_t>(r / 2) * kHalfBytes + r % 2 * 32;
#pragma GCC unroll 2
    for (std::size_t j = 0; j < 2; ++j) {
      const uint8x16_t a = NeonProduct::codes(packed + 128 * j),
                       b = NeonProduct::codes(packed + 128 * j + 64);
      join(to + j * kPairs * 16, NeonProduct::weights<false>(a), NeonProduct::weights<false>(b));
      join(to + (2 + j) * kPairs * 16, NeonProduct::weights<true>(a), NeonProduct::weights<true>(b));
    }
  }

  template <int kDigits>
  static void product(const std::byte* codes, const std::byte* all_exponents, std::size_t blocks,
                      const std::byte* const* records, std::size_t tokens, float* sums) noexcept {
    constexpr std::size_t kMost = (kTokens[kDigits - 1] + 1) / 2;
    with_constant<kMost>((tokens + 1) / 2, [&]<int P>(std::integral_constant<int, P>) noexcept {
      for (std::size_t half = 0; half < 2; ++half) {
        half_product<kDigits, P>(codes + half * kHalfBytes, all_exponents + 32 * half, blocks, records,
                                 tokens, sums + 8 * half);
      }
    });
  }

 private:
  static float32x4_t step_pair(const std::byte* a, const std::byte* b) noexcept {
    float pair[2];
    std::memcpy(pair, a, sizeof(float));
    std::memcpy(pair + 1, b, sizeof(float));
    const float32x2_t steps = vld1_f32(pair);
    return vcombine_f32(steps, steps);
  }
  static int64x2_t load_digits(const std::byte* from) noexcept {
    return vreinterpretq_s64_s8(vld1q_s8(reinterpret_cast<const std::int8_t*>(from)));
  }

  /// Eight rows and P pairs of tokens; of an odd number the last is its own partner.
  template <int kDigits, int P>
  [[gnu::noinline]] static void half_product(const std::byte* codes, const std::byte* all_exponents,
                                             std::size_t blocks, const std::byte* const* tokens,
                                             std::size_t count, float* sums) noexcept {
    constexpr std::size_t kRows = 16, kBlock = 2 * kHalfBytes, kExponents = 64;
    constexpr int kBits = kRadixBits[kDigits - 1];
    const std::byte* records[2 * P];
    for (std::size_t t = 0; t < 2 * P; ++t) records[t] = tokens[smaller(t, count - 1)];
    float32x4_t sum[kPairs][P];
    for (std::size_t p = 0; p < P; ++p) {
      const float* const a = sums + 2 * p * kRows;
      const float* const b = sums + smaller(2 * p + 1, count - 1) * kRows;
      for (std::size_t i = 0; i < 2; ++i) {
        const float32x4_t x = vld1q_f32(a + 4 * i), y = vld1q_f32(b + 4 * i);
        sum[2 * i][p] = vzip1q_f32(x, y);
        sum[2 * i + 1][p] = vzip2q_f32(x, y);
      }
    }
    for (std::size_t block = 0; block < blocks; ++block, codes += kBlock, all_exponents += kExponents) {
      int32x4_t z[kDigits][kPairs][P];
      for (auto& digit : z) {
        for (auto& row : digit) {
          for (int32x4_t& pair : row) pair = vdupq_n_s32(0);
        }
      }
#pragma GCC unroll 2
      for (std::size_t sixteen = 0; sixteen < 2; ++sixteen) {
        int8x16_t x[2][kDigits][P];
#pragma GCC unroll 3
        for (std::size_t d = 0; d < kDigits; ++d) {
#pragma GCC unroll 2
          for (std::size_t p = 0; p < P; ++p) {
            const std::size_t at = 32 * d + 16 * sixteen;
            const int64x2_t a = load_digits(records[2 * p] + at), b = load_digits(records[2 * p + 1] + at);
            x[0][d][p] = vreinterpretq_s8_s64(vzip1q_s64(a, b));
            x[1][d][p] = vreinterpretq_s8_s64(vzip2q_s64(a, b));
          }
        }
#pragma GCC unroll 2
        for (std::size_t eight = 0; eight < 2; ++eight) {
#pragma GCC unroll 4
          for (std::size_t row = 0; row < kPairs; ++row) {
            const int8x16_t w = vld1q_s8(
                reinterpret_cast<const std::int8_t*>(codes + ((2 * sixteen + eight) * kPairs + row) * 16));
#pragma GCC unroll 3
            for (std::size_t d = 0; d < kDigits; ++d) {
#pragma GCC unroll 2
              for (std::size_t p = 0; p < P; ++p) z[d][row][p] = vmmlaq_s32(z[d][row][p], w, x[eight][d][p]);
            }
          }
        }
      }
      int32x4_t exponents[kPairs];
      for (std::size_t i = 0; i < 2; ++i) {
        const int32x4_t four = vld1q_s32(reinterpret_cast<const std::int32_t*>(all_exponents) + 4 * i);
        exponents[2 * i] = vzip1q_s32(four, four);
        exponents[2 * i + 1] = vzip2q_s32(four, four);
      }
#pragma GCC unroll 2
      for (std::size_t p = 0; p < P; ++p) {
        const float32x4_t half_steps =
            step_pair(records[2 * p] + 36 * kDigits, records[2 * p + 1] + 36 * kDigits);
#pragma GCC unroll 4
        for (std::size_t row = 0; row < kPairs; ++row) {
          int32x4_t total = z[0][row][p];
#pragma GCC unroll 3
          for (std::size_t d = 1; d < kDigits; ++d) {
            total = NeonProduct::joined<kBits>(total, z[d][row][p]);
          }
          sum[row][p] =
              vfmaq_f32(sum[row][p], vcvtq_f32_s32(total), NeonProduct::scaled(half_steps, exponents[row]));
        }
      }
      for (const std::byte*& record : records) record += 36 * kDigits + 4;
    }
    for (std::size_t p = 0; p < P; ++p) {
      for (std::size_t i = 0; i < 2; ++i) {
        float* const to = sums + 2 * p * kRows + 4 * i;
        vst1q_f32(to, vuzp1q_f32(sum[2 * i][p], sum[2 * i + 1][p]));
        if (2 * p + 1 < count) vst1q_f32(to + kRows, vuzp2q_f32(sum[2 * i][p], sum[2 * i + 1][p]));
      }
    }
  }
};

struct NeonI8mmProduct : NeonDotProduct {
  using Matrix = NeonI8mmMatrix;
};

}  // namespace
}  // namespace mxfp4::kernel
