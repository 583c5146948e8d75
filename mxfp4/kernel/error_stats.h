// How far quantised blocks are from their originals.
#pragma once

#include <array>
#include <cstdint>

namespace mxfp4 {

/// Sums over blocks. Kernels add in one fixed order, and pieces of work are merged in theirs, so that the
/// sums depend neither on threads nor on the instruction set. An element counts in signal and noise if it is
/// finite and its block is not a NaN block; the dequantised value is the exact product, even where that
/// exceeds f32.
struct ErrorStats {
  double signal = 0;           ///< sum of x^2
  double noise = 0;            ///< sum of (x - dequantised)^2
  std::uint64_t elements = 0;  ///< quantised, without the completion of a row's last block
  std::uint64_t blocks = 0;
  std::uint64_t lossless_blocks = 0;           ///< all elements compare equal after dequantising
  std::uint64_t saturated = 0;                 ///< elements with |x| > 6 * scale, infinities included
  std::array<std::uint64_t, 256> scales = {};  ///< how often each scale byte stands

  /// 10 log10(signal / noise); +infinity where nothing was lost.
  double sqnr_db() const noexcept;

  void add(const ErrorStats& other) noexcept;
};

}  // namespace mxfp4
