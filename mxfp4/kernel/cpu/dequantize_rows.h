// Scale bytes and codes to rows of elements, through a table of the 16 values of every scale byte.
#pragma once

#include "mxfp4/codec/nibble.h"
#include "mxfp4/kernel/cpu/dequantize_tables.h"
#include "mxfp4/kernel/cpu/elements.h"
#include "mxfp4/kernel/ops.h"

namespace mxfp4::kernel {
namespace {

inline const std::uint32_t* values_of(F32, std::uint8_t byte) noexcept {
  return kDequantizeTables.f32[byte];
}
inline const std::uint16_t* values_of(Bf16, std::uint8_t byte) noexcept {
  return kDequantizeTables.bf16[byte];
}
inline const std::uint16_t* values_of(F16, std::uint8_t byte) noexcept {
  return kDequantizeTables.f16[byte];
}

template <class I, class Element, bool kStreaming>
void dequantize_blocks(const std::uint8_t* codes, const std::uint8_t* scales, std::size_t blocks,
                       NibbleOrder order, std::byte* out) noexcept {
  for (std::size_t b = 0; b < blocks; ++b) {
    I::template expand<kStreaming>(Element{}, codes + b * 16, order, values_of(Element{}, scales[b]),
                                   out + b * kBlockBytes<Element>);
  }
  if (kStreaming) I::fence();
}

/// n elements of one block of any size.
template <class Element>
void dequantize_some(const std::uint8_t* codes, std::uint8_t byte, std::size_t n, NibbleOrder order,
                     std::byte* out) noexcept {
  const typename Element::Raw* const values = values_of(Element{}, byte);
  for (std::size_t i = 0; i < n; ++i) {
    std::memcpy(out + i * sizeof *values, values + nibble(codes, i, order), sizeof *values);
  }
}

template <class I, class Element>
void dequantize_rows(const DequantizeArgs& args) noexcept {
  const bool one_row = args.block_size == 32 && args.columns % 32 == 0;
  const std::size_t rows = one_row ? 1 : args.rows;
  const std::size_t columns = one_row ? args.rows * args.columns : args.columns;
  const auto size = static_cast<std::size_t>(args.block_size);
  const std::size_t blocks = (columns + size - 1) / size;
  const std::size_t whole = size == 32 ? columns / 32 : 0;
  for (std::size_t row = 0; row < rows; ++row) {
    const std::uint8_t* const codes = args.codes + row * blocks * size / 2;
    const std::uint8_t* const scales = args.scales + row * blocks;
    std::byte* const out = static_cast<std::byte*>(args.out) + row * columns * sizeof(typename Element::Raw);
    const bool streaming = args.streaming && reinterpret_cast<std::uintptr_t>(out) % I::kVectorBytes == 0;
    streaming ? dequantize_blocks<I, Element, true>(codes, scales, whole, args.order, out)
              : dequantize_blocks<I, Element, false>(codes, scales, whole, args.order, out);
    for (std::size_t b = whole; b < blocks; ++b) {
      const std::size_t left = columns - b * size;
      dequantize_some<Element>(codes + b * size / 2, scales[b], left < size ? left : size, args.order,
                               out + b * size * sizeof(typename Element::Raw));
    }
  }
}

template <class I>
void dequantize(const DequantizeArgs& args) noexcept {
  if (args.dtype == Dtype::f32) return dequantize_rows<I, F32>(args);
  if (args.dtype == Dtype::bf16) return dequantize_rows<I, Bf16>(args);
  return dequantize_rows<I, F16>(args);
}

}  // namespace
}  // namespace mxfp4::kernel
