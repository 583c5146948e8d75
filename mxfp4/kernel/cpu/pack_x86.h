// Scale bytes of packed groups, with SSE4.1: for every x86 instruction set that has vectors of its own for
// codes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include <immintrin.h>

#include "mxfp4/kernel/cpu/packed.h"

namespace mxfp4::kernel {
namespace {

/// Four scale bytes of each of sixteen rows, less `base`, as four runs of sixteen; what is beyond kMostSpan
/// becomes 0.
void pack_scales(const std::uint8_t* scales, std::size_t stride, std::uint8_t base, std::byte* out) noexcept {
  const __m128i by_block = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  __m128i rows[4];  // of four rows: their bytes of block 0, of block 1, ...
  for (int i = 0; i < 4; ++i) {
    std::int32_t four[4];
    for (std::size_t row = 0; row < 4; ++row) {
      std::memcpy(&four[row], scales + (static_cast<std::size_t>(i) * 4 + row) * stride, 4);
    }
    rows[i] = _mm_shuffle_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(four)), by_block);
  }
  const __m128i low[2] = {_mm_unpacklo_epi32(rows[0], rows[1]), _mm_unpacklo_epi32(rows[2], rows[3])},
                high[2] = {_mm_unpackhi_epi32(rows[0], rows[1]), _mm_unpackhi_epi32(rows[2], rows[3])};
  const __m128i blocks[4] = {_mm_unpacklo_epi64(low[0], low[1]), _mm_unpackhi_epi64(low[0], low[1]),
                             _mm_unpacklo_epi64(high[0], high[1]), _mm_unpackhi_epi64(high[0], high[1])};
  const __m128i most = _mm_set1_epi8(kMostSpan);
  for (int b = 0; b < 4; ++b) {
    const __m128i difference = _mm_sub_epi8(blocks[b], _mm_set1_epi8(static_cast<char>(base)));
    const __m128i within = _mm_cmpeq_epi8(_mm_min_epu8(difference, most), difference);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 16 * b), _mm_and_si128(difference, within));
  }
}

}  // namespace
}  // namespace mxfp4::kernel
