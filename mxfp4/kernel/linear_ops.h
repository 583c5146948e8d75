// What a backend computes for Linear layers whose weights stay MXFP4: y = x W^T + bias.
#pragma once

#include <cstddef>
#include <cstdint>

#include "mxfp4/base/context.h"
#include "mxfp4/codec/nibble.h"
#include "mxfp4/tensor/dtype.h"

namespace mxfp4::kernel {

/// How activations enter the product.
enum class Activation : std::uint8_t {
  exact,  ///< as given: against sum |w * x| the error is at most 2^-18 (rms over a token's outputs) and 2^-13
          ///< (each)
  int8,   ///< symmetric 8-bit integers with one scale per block of 32
  mxfp8,  ///< E4M3 with one E8M0 scale per block of 32 (OCP MX v1.0: floor rule, saturating)
};

/// How one token stands in its record: chosen from the token alone, so that the same token always gives the
/// same bits.
enum class TokenFormat : std::uint8_t {
  digits1,  ///< per block of 32: integers of one, two or three signed 8-bit digits, and a scale
  digits2,
  digits3,
  floats,  ///< f32
  raw,     ///< f32, of a range that only the slow and general path can hold: NaN, infinity, ratios above 2^80
};
inline constexpr int kTokenFormats = 5;

/// Weights are packed in groups of so many rows.
inline constexpr std::size_t kGroupRows = 16;

/// What packing found out about a group.
struct GroupInfo {
  std::uint8_t base = 0;  ///< scale bytes are stored less this
  bool wide = false;      ///< scale bytes too far apart, or NaN: stored as they are, for the general path
};

/// Packs rows [first_group * 16, ...) of a matrix; out and info are those of the first of these groups.
struct PackArgs {
  const std::uint8_t* codes = nullptr;   ///< of row 0: rows * blocks * 16 bytes
  const std::uint8_t* scales = nullptr;  ///< of row 0: rows * blocks bytes
  std::size_t rows = 0;                  ///< of the whole matrix; the last group is completed with zeros
  std::size_t blocks = 0;                ///< of a row
  std::size_t first_group = 0;
  std::size_t groups = 0;
  std::byte* out = nullptr;  ///< groups * group_bytes(blocks), aligned to 64
  GroupInfo* info = nullptr;
};

/// How a weight is spread over the blocks of its rows, which decides how errors of the activations add up.
/// With f[r][b] = share of the elements of block b in row r that are not zero, and v[r][b] = its scale over
/// the row's mean of scale * f:
struct WeightSpread {
  const float* means = nullptr;    ///< mean over the rows of v f, one per block
  const float* squares = nullptr;  ///< mean over the rows of v^2 f, one per block
  float mean_square = 1;           ///< mean of `squares`
  float fill = 1;                  ///< sum of v^2 f over sum of v^2
};

/// Adds v f and v^2 f of a row to `means` and `squares`.
struct SpreadArgs {
  const std::uint8_t* codes = nullptr;   ///< of the row
  const std::uint8_t* scales = nullptr;  ///< of the row
  std::size_t blocks = 0;
  float* means = nullptr;
  float* squares = nullptr;
  std::uint8_t* counts = nullptr;  ///< scratch, one per block
};

/// What becomes of one token.
struct TokenPlan {
  TokenFormat format = TokenFormat::raw;
  int exponent = 0;  ///< the record holds x * 2^-exponent
};

struct PlanArgs {
  const float* x = nullptr;  ///< blocks * 32 values, zeros behind the last column
  std::size_t blocks = 0;
  Activation activation = Activation::exact;
  WeightSpread spread = {};  ///< of the weight that the token will meet; for `exact`
  bool as_floats =
      false;  ///< `exact` keeps floats: scales of the weight are too far apart, or its rows too few
};

struct EncodeArgs {
  const float* x = nullptr;
  std::size_t blocks = 0;
  Activation activation = Activation::exact;
  NibbleOrder order = NibbleOrder::interleaved;  ///< of the weight that the token will meet
  TokenPlan plan;
  std::byte* record = nullptr;  ///< record_bytes(plan.format, blocks), aligned to 4
};

/// A token in a product.
struct Token {
  TokenPlan plan;
  const std::byte* record = nullptr;
  std::uint32_t place = 0;  ///< its outputs go to row `place` of the output
};

/// Where outputs go: those of the first row that is asked for, of the token in place p, to data + p * stride.
struct Outputs {
  std::byte* data = nullptr;
  std::size_t stride = 0;    ///< bytes
  Dtype dtype = Dtype::f32;  ///< F32, BF16, F16
};

/// Outputs [first_group * 16, ...) of all tokens, which are sorted by format.
struct MultiplyArgs {
  const std::byte* weights = nullptr;  ///< packed, of group 0
  const GroupInfo* info = nullptr;     ///< of group 0
  std::size_t rows = 0;                ///< of the whole matrix
  std::size_t blocks = 0;
  std::size_t first_group = 0;
  std::size_t groups = 0;
  const Token* tokens = nullptr;
  std::size_t count = 0;
  const float* bias = nullptr;  ///< of row 0, or null
  Outputs out;
  std::byte* scratch = nullptr;  ///< scratch_bytes(count), aligned to 64, for this call alone
};

// --- weights that are not packed, but used where they lie ---

/// Looks through the scale bytes of rows [first_row, first_row + rows).
struct InspectRowsArgs {
  const std::uint8_t* codes = nullptr;   ///< of row 0
  const std::uint8_t* scales = nullptr;  ///< of row 0
  std::size_t blocks = 0;                ///< of a row
  std::size_t first_row = 0;
  std::size_t rows = 0;
  std::uint8_t* odd = nullptr;  ///< of row 0, for the result: 1 for rows that only the general path can hold
};

/// Outputs [first_row, first_row + rows) of all tokens, which are sorted by format.
struct RowsArgs {
  const std::uint8_t* codes = nullptr;   ///< of row 0
  const std::uint8_t* scales = nullptr;  ///< of row 0
  const std::uint8_t* odd = nullptr;     ///< of row 0, or null if no row is
  std::size_t blocks = 0;
  std::size_t first_row = 0;
  std::size_t rows = 0;
  const Token* tokens = nullptr;
  std::size_t count = 0;
  const float* bias = nullptr;  ///< of row 0, or null
  Outputs out;
};

/// The operations of one backend for Linear layers. Every member is thread-safe and does not throw.
struct LinearOps {
  std::size_t (*group_bytes)(std::size_t blocks) noexcept;
  void (*pack)(const PackArgs&) noexcept;
  float (*add_spread)(const SpreadArgs&) noexcept;  ///< the row's mean of v^2

  TokenPlan (*plan)(const PlanArgs&) noexcept;
  std::size_t (*record_bytes)(TokenFormat format, std::size_t blocks) noexcept;
  void (*encode)(const EncodeArgs&) noexcept;

  /// Groups that one call should take at least, for its tables and tiles to pay.
  std::size_t (*preferred_groups)(std::size_t tokens) noexcept;
  std::size_t (*scratch_bytes)(std::size_t tokens) noexcept;
  void (*multiply)(const MultiplyArgs&) noexcept;

  bool (*inspect_rows)(const InspectRowsArgs&) noexcept;  ///< whether some row is odd
  std::size_t (*row_record_bytes)(TokenFormat format, std::size_t blocks) noexcept;
  void (*encode_for_rows)(const EncodeArgs&) noexcept;  ///< a record of row_record_bytes()
  void (*multiply_rows)(const RowsArgs&) noexcept;
};

/// The kernels for an instruction set; the machine must support it.
const LinearOps& cpu_linear_ops(Isa isa) noexcept;

}  // namespace mxfp4::kernel
