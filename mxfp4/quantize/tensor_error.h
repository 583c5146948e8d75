// How far a quantised tensor is from its original.
#pragma once

#include <cstdint>
#include <span>

#include "mxfp4/base/context.h"
#include "mxfp4/tensor/mxfp4_tensor.h"
#include "mxfp4/tensor/view.h"

namespace mxfp4 {

/// Sums over elements x and their quantised values q, to which those of other elements may be added: the
/// error of a stream of chunks is the sum of theirs. Every q is the exact product code * 2^(byte - 127), even
/// where that exceeds f32. Elements that are not finite, and those under scale byte 255, are counted and left
/// out of all sums.
struct TensorError {
  double signal = 0;           ///< sum of x^2
  double noise = 0;            ///< sum of (x - q)^2
  double energy = 0;           ///< sum of q^2
  double product = 0;          ///< sum of x * q
  double max_error = 0;        ///< largest |x - q|
  std::uint64_t elements = 0;  ///< that are in the sums
  std::uint64_t left_out = 0;
  std::uint64_t saturated = 0;   ///< |x| > 6 * scale
  std::uint64_t sign_flips = 0;  ///< x and q have opposite signs and neither is zero

  double sqnr_db() const noexcept;         ///< 10 log10(signal / noise); infinite where nothing was lost
  double relative_error() const noexcept;  ///< sqrt(noise / signal); 0 where both are
  double cosine() const noexcept;          ///< product / sqrt(signal * energy); 1 where both are 0

  void add(const TensorError& other) noexcept;
};

/// Compares x (F32, BF16 or F16, any strides) with t, which has the same shape. With `rows`, one for each row
/// of K elements, the error of every row is stored there, too. Sums do not depend on the number of threads.
/// Throws Error invalid_argument for another dtype, shapes that differ, rows of another number, a block size
/// that is neither 32 nor 16.
TensorError tensor_error(const DenseView& x, const Mxfp4View& t, std::span<TensorError> rows = {},
                         const Context& context = {});

}  // namespace mxfp4
