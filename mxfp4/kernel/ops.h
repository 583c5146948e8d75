// What a backend computes: one table of operations per instruction set or device.
#pragma once

#include <cstddef>
#include <cstdint>

#include "mxfp4/base/context.h"
#include "mxfp4/codec/block.h"
#include "mxfp4/codec/macros.h"
#include "mxfp4/codec/nibble.h"
#include "mxfp4/kernel/error_stats.h"
#include "mxfp4/tensor/dtype.h"

namespace mxfp4::kernel {

/// No element was refused.
inline constexpr std::size_t kNone = static_cast<std::size_t>(-1);

/// How much columns matter in the squared error that is minimised: row r has the `columns` values from values
/// + (first_row + r) / rows * columns on. Finite, none negative.
struct ColumnWeights {
  const float* values = nullptr;  ///< null: all columns matter alike
  std::size_t rows = 0;           ///< so many rows share their values; 0: all rows do
  std::size_t first_row = 0;

  MXFP4_CODEC const float* of_row(std::size_t row, std::size_t columns) const noexcept {
    return values == nullptr || rows == 0 ? values : values + (first_row + row) / rows * columns;
  }
};

/// Rows of dense elements to quantise; row r begins at x + r * columns elements. x need not be aligned.
struct QuantizeArgs {
  const void* x = nullptr;
  Dtype dtype = Dtype::f32;  ///< F32, BF16 or F16
  std::size_t rows = 0;
  std::size_t columns =
      0;  ///< any; the last block of a row is completed with zeros that take no part in its scale
  int block_size = 32;  ///< 32 or 16
  Recipe recipe = {};
  const std::uint8_t* reference =
      nullptr;                     ///< scale bytes of the rows: one is kept where its error is no larger
  ColumnWeights importance = {};   ///< for the rule `optimal`
  std::uint8_t* codes = nullptr;   ///< interleaved, rows * blocks * block_size / 2 bytes
  std::uint8_t* scales = nullptr;  ///< rows * blocks bytes
  ErrorStats* stats = nullptr;     ///< added to, unless null
  bool streaming = false;          ///< codes are not read again soon: they may be written past the caches
};

/// Rows of MXFP4 to expand; row r is written at out + r * columns elements. out need not be aligned.
struct DequantizeArgs {
  const std::uint8_t* codes = nullptr;
  const std::uint8_t* scales = nullptr;
  std::size_t rows = 0;
  std::size_t columns = 0;
  int block_size = 32;                           ///< 32 or 16
  NibbleOrder order = NibbleOrder::interleaved;  ///< split16 with blocks of 32 only
  Dtype dtype = Dtype::f32;                      ///< F32, BF16 or F16: the exact product, rounded once
  void* out = nullptr;
  bool streaming = false;  ///< out is not read again soon: it may be written past the caches
};

/// Memory to pass over, both spans at the pace that lets them end together. Bytes beyond whole lines of 64
/// are left.
struct StreamArgs {
  const void* in = nullptr;
  std::size_t in_bytes = 0;
  void* out = nullptr;
  std::size_t out_bytes = 0;
  bool streaming = false;  ///< write past the caches
  std::size_t prefetch =
      0;  ///< ask for what lies so many bytes ahead of a read; 0: leave that to the machine
};

/// The operations of one backend. Every member is thread-safe and does not throw.
struct Ops {
  /// Under NonFinite::error, the index r * columns + c of the first element refused; otherwise kNone. After a
  /// refusal output and statistics are unspecified.
  std::size_t (*quantize)(const QuantizeArgs&) noexcept;
  /// The statistics alone, bit for bit, where codes and scales are what quantize() has for these arguments,
  /// without reference or importance, and nothing is refused.
  void (*measure)(const QuantizeArgs&) noexcept;
  void (*dequantize)(const DequantizeArgs&) noexcept;
  /// Reads and writes and computes nothing: the time that memory alone would take.
  void (*stream)(const StreamArgs&) noexcept;
};

/// Plain double-precision loops: what the others are tested against.
const Ops& reference_ops() noexcept;

/// The kernels for an instruction set; the machine must support it.
const Ops& cpu_ops(Isa isa) noexcept;

}  // namespace mxfp4::kernel
