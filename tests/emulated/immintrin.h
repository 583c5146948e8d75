// Stands before the compiler's <immintrin.h> where MXFP4_EMULATE is ON: AVX2 stays native, SIMDe computes
// AVX-512 with it, and what follows is AMX, and what SIMDe 0.7.4 lacks or rounds in another way, lane by lane
// as in Intel's Intrinsics Guide. An intrinsic that is missing here does not compile: the compiler's own
// needs flags that such a build does not set.
#pragma once
#pragma GCC system_header

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

#include_next <immintrin.h>

#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>

namespace mxfp4::emulated {

template <class Lane, class Vector>
struct Lanes {
  Lane lane[sizeof(Vector) / sizeof(Lane)];
  Lane operator[](int i) const { return lane[i]; }
};
template <class Lane, class Vector>
Lanes<Lane, Vector> lanes(Vector x) {
  return std::bit_cast<Lanes<Lane, Vector>>(x);
}
// The vector, or the mask, whose lane i is of(i).
template <class Vector, class Lane, class Of>
Vector vector(Of of) {
  Lanes<Lane, Vector> result;
  for (int i = 0; i < static_cast<int>(sizeof(Vector) / sizeof(Lane)); ++i)
    result.lane[i] = static_cast<Lane>(of(i));
  return std::bit_cast<Vector>(result);
}
template <class Mask, class Of>
Mask mask(Of of) {
  Mask result = 0;
  for (int i = 0; i < static_cast<int>(8 * sizeof(Mask)); ++i)
    result |= static_cast<Mask>(static_cast<Mask>(of(i)) << i);
  return result;
}

// --- comparisons and masks ---

inline __mmask32 cmpeq_epi16_mask(__m512i a, __m512i b) {
  const auto x = lanes<std::int16_t>(a), y = lanes<std::int16_t>(b);
  return mask<__mmask32>([&](int i) { return x[i] == y[i]; });
}
inline __mmask16 cmplt_epi32_mask(__m512i a, __m512i b) {
  const auto x = lanes<std::int32_t>(a), y = lanes<std::int32_t>(b);
  return mask<__mmask16>([&](int i) { return x[i] < y[i]; });
}
inline __mmask32 kunpackw(__mmask32 high, __mmask32 low) {
  return high << 16 | (low & 0xFFFF);
}

// --- integers ---

inline __m512i mask_sub_epi16(__m512i from, __mmask32 k, __m512i a, __m512i b) {
  const auto s = lanes<std::int16_t>(from), x = lanes<std::int16_t>(a), y = lanes<std::int16_t>(b);
  return vector<__m512i, std::int16_t>([&](int i) { return k >> i & 1 ? x[i] - y[i] : s[i]; });
}
inline int reduce_add_epi32(__m512i a) {
  const auto x = lanes<std::uint32_t>(a);
  std::uint32_t sum = 0;
  for (int i = 0; i < 16; ++i) sum += x[i];
  return static_cast<int>(sum);
}
inline __m128i cvtepi32_epi8(__m512i a) {
  return vector<__m128i, std::uint8_t>([x = lanes<std::uint32_t>(a)](int i) { return x[i]; });
}
inline __m512i cvtepu16_epi32(__m256i a) {
  return vector<__m512i, std::int32_t>([x = lanes<std::uint16_t>(a)](int i) { return x[i]; });
}
inline __m512i cvtepu8_epi16(__m256i a) {
  return vector<__m512i, std::int16_t>([x = lanes<std::uint8_t>(a)](int i) { return x[i]; });
}
inline __m512i cvtepu8_epi32(__m128i a) {
  return vector<__m512i, std::int32_t>([x = lanes<std::uint8_t>(a)](int i) { return x[i]; });
}
inline __m512i i32gather_epi32(__m512i index, const void* base, int scale) {
  const auto at = lanes<std::int32_t>(index);
  return vector<__m512i, std::int32_t>([&](int i) {
    std::int32_t x;
    std::memcpy(&x, static_cast<const char*>(base) + std::int64_t{at[i]} * scale, sizeof x);
    return x;
  });
}

// --- f32 and f64 ---

inline __m512 cvtepi32_ps(__m512i a) {
  return vector<__m512, float>([x = lanes<std::int32_t>(a)](int i) { return x[i]; });
}
inline __m512i cvtps_epi32(__m512 a) {
  return vector<__m512i, std::int32_t>(
      [x = lanes<float>(a)](int i) { return _mm_cvtss_si32(_mm_set_ss(x[i])); });
}
inline __m512d cvtps_pd(__m256 a) {
  return vector<__m512d, double>([x = lanes<float>(a)](int i) { return x[i]; });
}
inline __m512 cvtph_ps(__m256i a) {
  return vector<__m512, float>([x = lanes<std::uint16_t>(a)](int i) { return _cvtsh_ss(x[i]); });
}
inline __m256 extractf32x8_ps(__m512 a, int half) {
  return vector<__m256, float>([&, x = lanes<float>(a)](int i) { return x[8 * half + i]; });
}
inline __m512d shuffle_f64x2(__m512d a, __m512d b, int order) {
  const auto x = lanes<double>(a), y = lanes<double>(b);
  return vector<__m512d, double>(
      [&](int i) { return (i < 4 ? x : y)[2 * (order >> (i & 6) & 3) + (i & 1)]; });
}
// a * 2^floor(b), rounded once.
inline __m512 scalef_ps(__m512 a, __m512 b) {
  const auto x = lanes<float>(a), y = lanes<float>(b);
  return vector<__m512, float>([&](int i) {
    return std::isfinite(y[i])
               ? std::ldexp(x[i], static_cast<int>(std::fmax(std::fmin(std::floor(y[i]), 999), -999)))
               : x[i] * std::exp2(y[i]);
  });
}
// In the order in which compilers expand it.
inline float reduce_add_ps(__m512 a) {
  auto x = lanes<float>(a);
  for (int half = 8; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) x.lane[i] += x[half + i];
  }
  return x[0];
}

// --- memory ---

inline void stream_si512(void* to, __m512i x) {
  if (reinterpret_cast<std::uintptr_t>(to) % 64 != 0) __builtin_trap();  // as the machine does
  std::memcpy(to, &x, sizeof x);
}

// --- AMX: the tile registers of a thread ---

struct Tile {
  int rows = 0, row_bytes = 0;
  std::int8_t at[16][64] = {};
};
inline thread_local Tile tiles[8];

inline void tile_loadconfig(const void* config) {
  std::uint8_t bytes[64];
  std::memcpy(bytes, config, sizeof bytes);
  if (bytes[0] != 1) __builtin_trap();
  for (int i = 0; i < 8; ++i) tiles[i] = {bytes[48 + i], bytes[16 + 2 * i] | bytes[17 + 2 * i] << 8};
}
inline void tile_release() {
  for (Tile& tile : tiles) tile = {};
}
inline void tile_zero(int to) {
  if (tiles[to].rows == 0) __builtin_trap();  // not configured
  std::memset(tiles[to].at, 0, sizeof tiles[to].at);
}
inline void tile_loadd(int to, const void* from, long stride) {
  tile_zero(to);
  for (int row = 0; row < tiles[to].rows; ++row)
    std::memcpy(tiles[to].at[row], static_cast<const char*>(from) + row * stride,
                static_cast<std::size_t>(tiles[to].row_bytes));
}
inline void tile_stored(int from, void* to, long stride) {
  if (tiles[from].rows == 0) __builtin_trap();
  for (int row = 0; row < tiles[from].rows; ++row)
    std::memcpy(static_cast<char*>(to) + row * stride, tiles[from].at[row],
                static_cast<std::size_t>(tiles[from].row_bytes));
}
inline void tile_dpbssd(int sums, int a, int b) {
  Tile &z = tiles[sums], &x = tiles[a], &y = tiles[b];
  const int columns = z.row_bytes / 4, depth = x.row_bytes / 4;
  if (z.rows == 0 || z.rows != x.rows || z.row_bytes != y.row_bytes || depth != y.rows) __builtin_trap();
  for (int m = 0; m < z.rows; ++m) {
    for (int n = 0; n < columns; ++n) {
      std::int32_t sum;
      std::memcpy(&sum, z.at[m] + 4 * n, sizeof sum);
      for (int k = 0; k < 4 * depth; ++k) sum += x.at[m][k] * y.at[k / 4][4 * n + k % 4];
      std::memcpy(z.at[m] + 4 * n, &sum, sizeof sum);
    }
  }
}

}  // namespace mxfp4::emulated

#define _mm512_cmpeq_epi16_mask mxfp4::emulated::cmpeq_epi16_mask
#define _mm512_cmplt_epi32_mask mxfp4::emulated::cmplt_epi32_mask
#define _mm512_cvtepi32_epi8 mxfp4::emulated::cvtepi32_epi8
#define _mm512_cvtepi32_ps mxfp4::emulated::cvtepi32_ps
#define _mm512_cvtepu16_epi32 mxfp4::emulated::cvtepu16_epi32
#define _mm512_cvtepu8_epi16 mxfp4::emulated::cvtepu8_epi16
#define _mm512_cvtepu8_epi32 mxfp4::emulated::cvtepu8_epi32
#define _mm512_cvtph_ps mxfp4::emulated::cvtph_ps
#define _mm512_cvtps_epi32 mxfp4::emulated::cvtps_epi32
#define _mm512_cvtps_pd mxfp4::emulated::cvtps_pd
#define _mm512_extractf32x8_ps mxfp4::emulated::extractf32x8_ps
#define _mm512_i32gather_epi32 mxfp4::emulated::i32gather_epi32
#define _mm512_kunpackw mxfp4::emulated::kunpackw
#define _mm512_madd_epi16 simde_mm512_madd_epi16  // SIMDe's alias has two arguments too many
#define _mm512_mask_sub_epi16 mxfp4::emulated::mask_sub_epi16
#define _mm512_reduce_add_epi32 mxfp4::emulated::reduce_add_epi32
#define _mm512_reduce_add_ps mxfp4::emulated::reduce_add_ps
#define _mm512_scalef_ps mxfp4::emulated::scalef_ps
#define _mm512_shuffle_f64x2 mxfp4::emulated::shuffle_f64x2
#define _mm512_stream_si512 mxfp4::emulated::stream_si512
#define _tile_dpbssd mxfp4::emulated::tile_dpbssd
#define _tile_loadconfig mxfp4::emulated::tile_loadconfig
#define _tile_loadd mxfp4::emulated::tile_loadd
#define _tile_release mxfp4::emulated::tile_release
#define _tile_stored mxfp4::emulated::tile_stored
#define _tile_zero mxfp4::emulated::tile_zero
#define _mm256_dpbusd_avx_epi32 _mm256_dpbusd_epi32
