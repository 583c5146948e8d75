// Weights in another quantisation than MXFP4 that stand in MXFP4 models.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "mxfp4/container/tensor_file.h"

namespace mxfp4 {

/// A weight [..., N, K] whose elements can be read, and are never made. Thread-safe.
class OtherCodes {
 public:
  virtual ~OtherCodes() = default;

  const char* name = "";                    ///< for people: "FP8"
  Shape shape;                              ///< elements
  std::vector<const StoredTensor*> stored;  ///< what it is made of, the codes first

  /// Elements [column, column_end) of rows [row, row_end), the dimensions but the last taken together.
  virtual void read(std::int64_t row, std::int64_t row_end, std::int64_t column, std::int64_t column_end,
                    float* out) const = 0;
};

using OtherCodesPtr = std::shared_ptr<const OtherCodes>;

/// F8_E4M3 [N, K] with one F8_E8M0 scale per tile of 128 x 128 (DeepSeek). Null unless dtypes and shapes fit.
OtherCodesPtr fp8_in_tiles(const StoredTensor& codes, const StoredTensor& scales);

/// U32 [N, K * bits / 32] of 4 or 8 bits, the first element lowest, with a scale and a bias, in any dense
/// float, for every `group` of elements of a row: scale * q + bias (MLX's affine mode). Null unless all fits.
OtherCodesPtr affine_words(const StoredTensor& codes, const StoredTensor& scales, const StoredTensor& biases,
                           std::int64_t group, std::int64_t bits);

}  // namespace mxfp4
