// Quantise and dequantise tensors in memory.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "mxfp4/base/context.h"
#include "mxfp4/codec/block.h"
#include "mxfp4/kernel/device_queue.h"
#include "mxfp4/kernel/error_stats.h"
#include "mxfp4/tensor/mxfp4_tensor.h"
#include "mxfp4/tensor/view.h"

namespace mxfp4 {

using kernel::DeviceQueue;
using kernel::open_queue;

struct QuantizeOptions {
  Recipe recipe = {};           ///< optimal scales, ties to even, NaN and infinity refused
  int axis = -1;                ///< quantised dimension, negative from the last; it is the last of the result
  int block_size = kBlockSize;  ///< 32 or 16
  /// Scale bytes that x may have had before, as many as the result has and in its order, or null. One is kept
  /// where the block's error is no larger under it than under the recipe's own: what was MXFP4 once gets its
  /// bytes back.
  const std::uint8_t* reference = nullptr;
  /// How much each column matters, for the rule `optimal`: it then minimises the sum of importance * error^2.
  /// K values that all rows share, or as many for each index of the result's first dimension (experts of [E,
  /// N, K]): mean squares of the inputs, say. Empty: all alike. Finite, none negative.
  std::span<const float> importance = {};
  Context context = {};
  /// For quantize_into() in a device's memory: x, codes and scales lie there, codes at a multiple of 4 bytes,
  /// and the call returns before it is done, unless it must find out what NonFinite::error refuses. Recipes
  /// with an origin, references, importance and statistics are the processor's only.
  DeviceQueue* queue = nullptr;
};

/// Quantises a tensor of F32, BF16 or F16, any rank from 1, any strides. The result's shape is x's with
/// `axis` moved to the end; the other dimensions keep their order. Adds the error to `stats` if that is
/// given. Throws Error invalid_argument for another dtype, a rank of 0, an axis that does not exist, a block
/// size that is neither 32 nor 16, an importance of another size, negative, not finite or under another rule
/// than `optimal`, and for a non-finite element under NonFinite::error (with its indices in x); unsupported
/// if the machine lacks the context's instruction set or device; device or out_of_memory if that fails. A
/// device leaves to the processor what it has no kernels for: recipes with an origin, reference scales, an
/// importance, statistics. The bytes are the same.
Mxfp4Tensor quantize(const DenseView& x, const QuantizeOptions& options = {}, ErrorStats* stats = nullptr);

/// The same into memory of the caller's: as many bytes as an Mxfp4View of the result's shape and block size
/// has. They are unspecified after an error. Throws Error invalid_argument also if x lies elsewhere than
/// options.queue says, unsupported for what only the processor does.
void quantize_into(const DenseView& x, std::uint8_t* codes, std::uint8_t* scales,
                   const QuantizeOptions& options = {}, ErrorStats* stats = nullptr);

/// Expands to `dtype` (F32, BF16 or F16) into out, element_count(t.shape) elements without gaps. The exact
/// products code * 2^(byte - 127) are rounded once; byte 255 gives NaN; what exceeds the dtype gives
/// infinity. Throws Error invalid_argument for another dtype, a block size that is neither 32 nor 16, or
/// split16 codes in blocks of 16; unsupported if the machine lacks the context's instruction set or device;
/// device or out_of_memory if that fails. With a queue t and out lie in the memory of its device, whatever
/// the context, and the call returns before it is done.
void dequantize(const Mxfp4View& t, Dtype dtype, void* out, const Context& context = {},
                DeviceQueue* queue = nullptr);

/// A preset: another project's or this library's way to quantise, by name.
struct Preset {
  const char* name;
  Recipe recipe;  ///< nonfinite is what its origin does; `error` where that is undefined, and for the default
  const char* description;
};

/// The preset of that name, or null. presets() lists them, the default first.
const Preset* find_preset(std::string_view name) noexcept;
std::span<const Preset> presets() noexcept;

/// The scale rule, tie rule or policy of that name ("optimal", "even", "nan_block"), or nothing.
std::optional<ScaleRule> parse_scale_rule(std::string_view name) noexcept;
std::optional<Ties> parse_ties(std::string_view name) noexcept;
std::optional<NonFinite> parse_nonfinite(std::string_view name) noexcept;

}  // namespace mxfp4
