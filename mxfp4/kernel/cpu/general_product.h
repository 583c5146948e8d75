// Weights and a token of any values at all, one output after the other in double: for what the kernels'
// number range cannot hold. Slow.
#pragma once

#include <cstddef>

#include "mxfp4/kernel/linear_ops.h"

namespace mxfp4::kernel {

/// Writes the outputs of `group` for `token`.
void general_product(const MultiplyArgs& args, std::size_t group, const Token& token) noexcept;

/// Writes the output of a row that is used where it lies.
void general_row(const RowsArgs& args, std::size_t row, const Token& token) noexcept;

}  // namespace mxfp4::kernel
