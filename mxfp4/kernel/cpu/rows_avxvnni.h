// The primitives of a product with rows in AVX-VNNI: those of AVX2, with a dot product of four bytes a lane.
#pragma once

#include <cstddef>

#include "mxfp4/kernel/cpu/rows_avx2.h"

namespace mxfp4::kernel {
namespace {

struct AvxVnniRows : Avx2Rows {
  template <int kShift>
  static Ints add_products(Ints sum, Weights low, Weights high, const std::byte* x) noexcept {
    const Ints begin = kShift == 0 ? sum : _mm256_setzero_si256();
    const Ints products = _mm256_dpbusd_avx_epi32(_mm256_dpbusd_avx_epi32(begin, low, load_bytes(x)), high,
                                                  load_bytes(x + kRowChunkCodes));
    return kShift == 0 ? products : _mm256_add_epi32(sum, _mm256_slli_epi32(products, kShift));
  }
};

}  // namespace
}  // namespace mxfp4::kernel
