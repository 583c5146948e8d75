// Blocks that vectors leave alone, one element after the other: not finite, tiny, huge, with an origin's
// oddities, or of columns that do not matter alike.
#pragma once

#include <cstdint>

#include "mxfp4/codec/block.h"
#include "mxfp4/tensor/dtype.h"

namespace mxfp4::kernel {

/// Writes the 16 code bytes of x[0, 32), elements of `dtype`, and returns the scale byte. `reference` is a
/// scale byte to keep where its error is no larger, or null; `weights` has one for each element, or is null.
/// With weights the scale is the best under them, whatever the recipe's rule.
std::uint8_t quantize_odd_block(const float* x, Dtype dtype, const Recipe& recipe,
                                const std::uint8_t* reference, const float* weights,
                                std::uint8_t* codes) noexcept;

}  // namespace mxfp4::kernel
