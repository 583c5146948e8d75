// The primitives of a product with rows in NEON with its dot product.
#pragma once

#include <cstddef>

#include "mxfp4/kernel/cpu/rows_neon.h"

namespace mxfp4::kernel {
namespace {

struct NeonDotRows : NeonRows {
  template <int kShift>
  static Ints add_products(Ints sum, Weights low, Weights high, const std::byte* x) noexcept {
    const Ints begin = kShift == 0 ? sum : vdupq_n_s32(0);
    const Ints products = vdotq_s32(vdotq_s32(begin, low, digits(x)), high, digits(x + kRowChunkCodes));
    return kShift == 0 ? products : vaddq_s32(sum, vshlq_n_s32(products, kShift));
  }
};

}  // namespace
}  // namespace mxfp4::kernel
