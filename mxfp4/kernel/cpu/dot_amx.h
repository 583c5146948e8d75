// The primitives of a product in AMX: a tile register of 16 tokens times one of 16 rows, a block of 32 each.
// What else there is, a few tokens straight from packed weights and floats, is left to AVX-512 VNNI.
//
//   a row of tmm3..5   a token: the 32 digits of a plane
//   a row of tmm6      four weights, one after the other in the order of a plane, of each of 16 rows
//   a row of tmm0..2   a token: its 16 sums, for each plane
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "mxfp4/kernel/cpu/block_product.h"
#include "mxfp4/kernel/cpu/dot_avx512vnni.h"

namespace mxfp4::kernel {
namespace {

/// Configures the tile registers of a thread as long as it lives: tmm0..2 and tmm7 for sums, tmm3..5 and tmm6
/// for factors that have `depth` bytes of each token and row.
class AmxTiles {
 public:
  explicit AmxTiles(int depth) noexcept {
    Config config;
    for (int i = 0; i < 8; ++i) {
      const bool tokens = i >= 3 && i < 6, rows = i == 6;
      config.rows[i] = static_cast<std::uint8_t>(rows ? depth / 4 : 16);
      config.row_bytes[i] = static_cast<std::uint16_t>(tokens ? depth : 64);
    }
    _tile_loadconfig(&config);
  }
  ~AmxTiles() { _tile_release(); }
  AmxTiles(const AmxTiles&) = delete;
  AmxTiles& operator=(const AmxTiles&) = delete;

 private:
  struct alignas(64) Config {
    std::uint8_t palette = 1, start_row = 0, zero[14] = {};
    std::uint16_t row_bytes[16] = {};
    std::uint8_t rows[16] = {};
  };
};

struct AmxMatrix {
  static constexpr int kDepth = 32;
  static constexpr std::size_t kTokens[] = {16, 16, 16};
  static constexpr std::size_t kVectorBytes = 8 * 64, kBlockBytes = 4 * kVectorBytes;

  /// A block: [vector of rows][step, in the order of the planes][4 weights of each of 16 rows].
  static void decode(std::byte* block, int r, const std::byte* packed) noexcept {
    const __m512i table =
        _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12));
    std::byte* const to = block + static_cast<std::size_t>(r) * kVectorBytes;
#pragma GCC unroll 4
    for (std::size_t j = 0; j < 4; ++j) {
      const __m512i bytes = _mm512_loadu_si512(packed + 64 * j);
      _mm512_storeu_si512(to + 64 * j, _mm512_permutexvar_epi8(bytes, table));
      _mm512_storeu_si512(to + 64 * (4 + j), _mm512_permutexvar_epi8(_mm512_srli_epi32(bytes, 4), table));
    }
  }

  template <int kDigits>
  [[gnu::noinline]] static void product(const std::byte* codes, const std::byte* all_exponents,
                                        std::size_t blocks, const std::byte* const* records,
                                        std::size_t tokens, float* sums) noexcept {
    constexpr std::size_t kMostBlocks = 16, kMost = 16, kRows = 64;
    constexpr std::size_t kRecord = 36 * kDigits + 4, kPlane = kMost * 32;
    constexpr int kBits = kRadixBits[kDigits - 1];
    alignas(64) std::byte digits[kMostBlocks * kDigits * kPlane];
    alignas(64) std::int32_t z[kDigits][kMost * 16];
    alignas(64) float steps[kMostBlocks * kMost];
    for (std::size_t block = 0; block < blocks; ++block) {
      for (std::size_t t = 0; t < kMost; ++t) {  // those that are none repeat the last
        const std::byte* const record = records[smaller(t, tokens - 1)] + block * kRecord;
        for (std::size_t d = 0; d < kDigits; ++d) {
          std::memcpy(digits + (block * kDigits + d) * kPlane + 32 * t, record + 32 * d, 32);
        }
        std::memcpy(steps + block * kMost + t, record + 36 * kDigits, sizeof(float));
      }
    }
    asm volatile("" : : : "memory");  // g++ 12 does not know that tiles are loaded from memory
    for (std::size_t r = 0; r < 4; ++r) {
      __m512 sum[kMost];
#pragma GCC unroll 16
      for (std::size_t t = 0; t < kMost; ++t) {
        sum[t] = _mm512_loadu_ps(sums + smaller(t, tokens - 1) * kRows + 16 * r);
      }
      for (std::size_t block = 0; block < blocks; ++block) {
        const std::byte* const planes = digits + block * kDigits * kPlane;
        _tile_loadd(6, codes + block * kBlockBytes + r * kVectorBytes, 64);
        _tile_loadd(3, planes, 32);
        _tile_zero(0);
        _tile_dpbssd(0, 3, 6);
        _tile_stored(0, z[0], 64);
        if constexpr (kDigits > 1) {
          _tile_loadd(4, planes + kPlane, 32);
          _tile_zero(1);
          _tile_dpbssd(1, 4, 6);
          _tile_stored(1, z[1], 64);
        }
        if constexpr (kDigits > 2) {
          _tile_loadd(5, planes + 2 * kPlane, 32);
          _tile_zero(2);
          _tile_dpbssd(2, 5, 6);
          _tile_stored(2, z[2], 64);
        }
        const __m512i exponents = _mm512_loadu_si512(all_exponents + block * 4 * 64 + 64 * r);
#pragma GCC unroll 16
        for (std::size_t t = 0; t < kMost; ++t) {
          __m512i total = _mm512_loadu_si512(z[0] + 16 * t);
#pragma GCC unroll 2
          for (std::size_t d = 1; d < kDigits; ++d) {
            total = Avx512VnniDot::joined<kBits>(total, _mm512_loadu_si512(z[d] + 16 * t));
          }
          const __m512 step = Avx512VnniDot::scaled(_mm512_set1_ps(steps[block * kMost + t]), exponents);
          sum[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(total), step, sum[t]);
        }
      }
#pragma GCC unroll 16
      for (std::size_t t = 0; t < kMost; ++t) {
        if (t < tokens) _mm512_storeu_ps(sums + t * kRows + 16 * r, sum[t]);
      }
    }
  }
};

struct AmxProduct : Avx512VnniDot {
  static constexpr std::size_t kMostDirect = 8;
  using Matrix = AmxMatrix;
};

}  // namespace
}  // namespace mxfp4::kernel
