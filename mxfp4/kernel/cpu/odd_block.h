// Blocks that vectors leave alone, one element after the other: not finite, tiny, huge, or with an origin's
// oddities.
#pragma once

#include <cstdint>

#include "mxfp4/codec/block.h"
#include "mxfp4/tensor/dtype.h"

namespace mxfp4::kernel {

/// Writes the 16 code bytes of x[0, 32), elements of `dtype`, and returns the scale byte. `reference` is a
/// scale byte to keep where its error is no larger, or null.
std::uint8_t quantize_odd_block(const float* x, Dtype dtype, const Recipe& recipe,
                                const std::uint8_t* reference, std::uint8_t* codes) noexcept;

}  // namespace mxfp4::kernel
