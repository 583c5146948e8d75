// Element types of stored tensors, by the names that safetensors gives them.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace mxfp4 {

/// In safetensors' order of alignment: a file's data is laid out from the last of these to the first.
enum class Dtype : std::uint8_t {
#define MXFP4_DTYPE(id, name, bits) id,
#include "mxfp4/tensor/dtypes.inc"
#undef MXFP4_DTYPE
};

/// "BF16", "F4", "F8_E8M0", ...
const char* to_string(Dtype dtype) noexcept;

/// The dtype of that name, exactly as written; nothing if there is none.
std::optional<Dtype> parse_dtype(std::string_view name) noexcept;

/// Bits of one element: 4 for F4, 6 for F6_*, otherwise a multiple of 8.
int bits_of(Dtype dtype) noexcept;

/// Whether quantise reads and dequantise writes it: F32, BF16, F16.
constexpr bool is_dense_float(Dtype dtype) noexcept {
  return dtype == Dtype::f32 || dtype == Dtype::bf16 || dtype == Dtype::f16;
}

}  // namespace mxfp4
