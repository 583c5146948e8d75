// The tokens of a call, as the kernels take them.
#pragma once

#include <cstddef>
#include <vector>

#include "mxfp4/kernel/linear_ops.h"
#include "mxfp4/tensor/view.h"

namespace mxfp4 {

/// What tokens must know about the weight that they will meet.
struct WeightTraits {
  std::size_t rows = 0, columns = 0;
  NibbleOrder order = NibbleOrder::interleaved;
  std::vector<float> means, squares;  ///< kernel::ScaleSpread
  float mean_square = 1;
  bool wide = false;   ///< some group or row is
  bool packed = true;  ///< or used where it lies, which takes other records

  std::size_t blocks() const noexcept { return (columns + 31) / 32; }
  /// Too few outputs for their root mean square to be near what is expected of it, or scales too far apart.
  bool as_floats() const noexcept { return wide || rows < kernel::kGroupRows; }
  kernel::ScaleSpread spread() const noexcept { return {means.data(), squares.data(), mean_square}; }
};

/// Makes the records of all rows of a view, on several threads if they are many. Steps: bytes() of memory,
/// which must outlive the tokens; run().
class TokenRecords {
 public:
  TokenRecords(const DenseView& x, const WeightTraits& weight, kernel::Activation activation,
               const kernel::LinearOps& ops, const Context& context) noexcept;

  std::size_t count() const noexcept { return count_; }
  /// Memory for the worst case.
  std::size_t bytes() const noexcept;
  /// Tokens sorted by format, in order within a format. Token i's `out` is where row `row_bytes` * i of `out`
  /// begins.
  const kernel::Token* run(std::byte* memory, std::byte* out, std::size_t row_bytes);

 private:
  std::size_t record_bytes(kernel::TokenFormat format) const noexcept {
    return (weight_.packed ? ops_.record_bytes : ops_.row_record_bytes)(format, weight_.blocks());
  }
  template <class Body>
  void for_each_row(float* buffers, const Body& body) const;

  const DenseView& x_;
  const WeightTraits& weight_;
  kernel::Activation activation_;
  const kernel::LinearOps& ops_;
  Context context_;
  std::size_t count_;
};

}  // namespace mxfp4
