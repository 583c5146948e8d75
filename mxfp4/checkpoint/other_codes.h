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
  const char* format = "";                  ///< what a model of them is called: "fp8"; of most, none is
  Shape shape;                              ///< elements
  std::vector<const StoredTensor*> stored;  ///< what it is made of, the codes first

  /// Elements [column, column_end) of rows [row, row_end), the dimensions but the last taken together.
  virtual void read(std::int64_t row, std::int64_t row_end, std::int64_t column, std::int64_t column_end,
                    float* out) const = 0;
  /// The same in double, which holds what FP8 and NVFP4 stand for exactly, however far beyond float.
  virtual void read_exact(std::int64_t row, std::int64_t row_end, std::int64_t column,
                          std::int64_t column_end, double* out) const;
};

using OtherCodesPtr = std::shared_ptr<const OtherCodes>;

inline constexpr std::int64_t kFp8Tile = 128;  ///< rows, and columns, that share a scale

/// F8_E4M3 [N, K] with one scale per tile of 128 x 128, F8_E8M0 or F32 (DeepSeek). Null unless dtypes and
/// shapes fit.
OtherCodesPtr fp8_in_tiles(const StoredTensor& codes, const StoredTensor& scales);

inline constexpr std::int64_t kNvfp4Block = 16;  ///< elements of a row that share a scale

/// U8 [N, K/2] of E2M1 codes with an F8_E4M3 scale for every 16 and an F32 number that the scales are to be
/// divided by: code * scale / global (compressed-tensors). Null unless dtypes and shapes fit.
OtherCodesPtr nvfp4_codes(const StoredTensor& codes, const StoredTensor& scales, const StoredTensor& global);

/// U32 [N, K * bits / 32] of 4 or 8 bits, the first element lowest, with a scale and a bias, in any dense
/// float, for every `group` of elements of a row: scale * q + bias (MLX's affine mode). Null unless all fits.
OtherCodesPtr affine_words(const StoredTensor& codes, const StoredTensor& scales, const StoredTensor& biases,
                           std::int64_t group, std::int64_t bits);

}  // namespace mxfp4
