// Sizes of a tensor's dimensions, outermost first.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "mxfp4/tensor/dtype.h"

namespace mxfp4 {

using Shape = std::vector<std::int64_t>;

/// "[32, 5760, 90]"
std::string to_string(const Shape& shape);

/// Product of the sizes, 1 for a scalar. The shape must be one that byte_size() has an answer for.
std::int64_t element_count(std::span<const std::int64_t> shape) noexcept;

/// Bytes that a tensor occupies in a file. Nothing if a size is negative, if a product overflows 64 bits
/// (multiplied in order, so a 0 that comes first hides what follows and a 0 that comes last does not;
/// safetensors does the same), or if the elements do not fill whole bytes.
std::optional<std::uint64_t> byte_size(Dtype dtype, const Shape& shape) noexcept;

}  // namespace mxfp4
