// Dequantise piece by piece, and into the layout that holds matrices transposed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "mxfp4/base/context.h"
#include "mxfp4/tensor/dtype.h"
#include "mxfp4/tensor/mxfp4_tensor.h"

namespace mxfp4 {

/// Takes elements of the result from index `first` on; they are gone after the call.
using ElementSink = std::function<void(std::int64_t first, std::span<const std::byte> elements)>;

/// Expands t to `dtype` (F32, BF16 or F16) through `buffer`, as much at a time as it holds, and hands all
/// elements to `sink` in their order. Nothing else is allocated. Throws Error invalid_argument where
/// dequantize() does, and for a buffer that holds less than one block; and whatever the sink throws.
void dequantize_chunks(const Mxfp4View& t, Dtype dtype, std::span<std::byte> buffer, const ElementSink& sink,
                       const Context& context = {});

/// The same with the last two dimensions exchanged: [..., N, K] comes as [..., K, N], which is how
/// transformers holds gpt-oss's experts. The buffer must hold two columns of blocks, 2 * N * block size
/// elements.
void dequantize_transposed_chunks(const Mxfp4View& t, Dtype dtype, std::span<std::byte> buffer,
                                  const ElementSink& sink, const Context& context = {});

/// Expands [..., N, K] to [..., K, N] into out, without a second copy of the tensor: every thread turns a few
/// columns of blocks at a time. Throws like dequantize().
void dequantize_transposed(const Mxfp4View& t, Dtype dtype, void* out, const Context& context = {});

/// A step of these: `count` columns of blocks of matrix `matrix` of t, from block `first_block` of every row
/// on but no further than K, as rows of N elements at out. `scratch` has room for as many elements, too. On
/// the calling thread.
void dequantize_turned(const Mxfp4View& t, std::int64_t matrix, std::int64_t first_block, std::int64_t count,
                       Dtype dtype, std::byte* scratch, std::byte* out, Isa isa = default_isa());

}  // namespace mxfp4
