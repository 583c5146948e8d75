// The weights that `mxfp4 bench` multiplies with and packs.
#pragma once

#include "mxfp4/cli/bench_kinds.h"
#include "mxfp4/cli/bench_turns.h"
#include "mxfp4/tensor/mxfp4_tensor.h"

namespace mxfp4::cli {

/// Gaussian weights as they lie in a file: the codes of so many blocks, then their scales.
void fill_with_weights(std::byte* out, std::size_t blocks);

/// Copies of a matrix as it lies in a file: the codes and then the scales of Gaussian weights.
class BenchWeights {
 public:
  /// The matrix of the options, 4096 x 4096 unless they say more. As many copies as a Rotation has, if
  /// `buffers` hold copies of all of them.
  BenchWeights(const BenchOptions& options, std::size_t buffers);

  std::size_t bytes() const noexcept { return rows * blocks * 17; }  ///< of a copy
  const std::uint8_t* codes(std::size_t copy, std::size_t row = 0) const noexcept {
    return reinterpret_cast<const std::uint8_t*>(rotation.copy(copy)) + row * blocks * 16;
  }
  const std::uint8_t* scales(std::size_t copy, std::size_t row = 0) const noexcept {
    return codes(copy, rows) + row * blocks;
  }
  Mxfp4View view(std::size_t copy) const;
  std::vector<float> row(std::size_t index) const;  ///< its values

  const std::size_t rows, columns, blocks;
  Rotation rotation;
};

}  // namespace mxfp4::cli
