// Rows of elements to scale bytes and codes: ordinary blocks in vectors, odd ones by the scalar truth.
#pragma once

#include "mxfp4/codec/float16.h"
#include "mxfp4/codec/nibble.h"
#include "mxfp4/kernel/cpu/block_sums.h"
#include "mxfp4/kernel/cpu/quantize_block.h"
#include "mxfp4/kernel/ops.h"

namespace mxfp4::kernel {
namespace {

// How an element of each dtype becomes f32, in vectors. Everything is exact.
struct F32Element {
  using Raw = float;
  static Floats widen(Floats raw) noexcept { return raw; }
  using RawVector = Floats;
};
struct Bf16Element {
  using Raw = std::uint16_t;
  using RawVector = Shorts;
  static Floats widen(Shorts raw) noexcept {
    return bit_cast<Floats>(__builtin_convertvector(raw, Words) << 16);
  }
};
struct F16Element {  // the formula of f16_to_f32(); a NaN need not become quiet
  using Raw = std::uint16_t;
  using RawVector = Shorts;
  static Floats widen(Shorts raw) noexcept {
    const Words bits = __builtin_convertvector(raw, Words);
    const Words sign = (bits & 0x8000u) << 16;
    const Words magnitude = (bits & 0x7FFFu) << 13;
    const Floats scaled = bit_cast<Floats>(magnitude) * 0x1p112f;
    const Words infinity = bit_cast<Words>(magnitude >= 0x0F800000u) & kInfinityBits;
    return bit_cast<Floats>(sign | bit_cast<Words>(scaled) | infinity);
  }
};

template <class Element, int B>
void load_block(const std::byte* from, Floats* x) noexcept {
  for (int j = 0; j < B / kLanes; ++j) {
    typename Element::RawVector raw;
    std::memcpy(&raw, from + static_cast<std::size_t>(j) * sizeof raw, sizeof raw);
    x[j] = Element::widen(raw);
  }
}

/// Elements [0, n) at `from`, and zeros for the rest of the block.
template <class Element, int B>
void load(const std::byte* from, int n, Floats* x) noexcept {
  if (n == B) return load_block<Element, B>(from, x);
  std::byte completed[B * sizeof(typename Element::Raw)] = {};
  std::memcpy(completed, from, static_cast<std::size_t>(n) * sizeof(typename Element::Raw));
  load_block<Element, B>(completed, x);
}

/// A block with NaN or infinity, or with a reference byte that differs from its own.
template <int B>
inline std::uint8_t quantize_odd_block(const float* x, int n, const Recipe& recipe,
                                       const std::uint8_t* reference, std::uint8_t* codes) noexcept {
  std::uint8_t byte = block_byte(x, n, recipe);
  if (reference != nullptr) byte = kept_byte(x, n, byte, *reference);
  for (int i = 0; i < B; i += 2) {
    const bool nan = byte == kE8m0Nan;
    const std::uint8_t low = nan ? kE2m1Nan : mxfp4::encode(x[i], byte, recipe.ties);
    const std::uint8_t high = nan ? kE2m1Nan : mxfp4::encode(x[i + 1], byte, recipe.ties);
    codes[i / 2] = pack_nibbles(low, high);
  }
  return byte;
}

template <class Element, int B>
std::size_t quantize_rows(const QuantizeArgs& args) noexcept {
  const Thresholds thresholds(args.recipe.ties);
  const std::size_t blocks = (args.columns + B - 1) / B;
  const std::byte* const x = static_cast<const std::byte*>(args.x);
  BlockSums sums = {};
  for (std::size_t row = 0; row < args.rows; ++row) {
    for (std::size_t b = 0; b < blocks; ++b) {
      const std::size_t first = row * args.columns + b * B;
      const std::size_t index = row * blocks + b;
      const int n = static_cast<int>(args.columns - b * B < B ? args.columns - b * B : B);
      std::uint8_t* const codes = args.codes + index * (B / 2);
      const std::uint8_t* const reference = args.reference == nullptr ? nullptr : args.reference + index;
      Block<B> block;
      load<Element, B>(x + first * sizeof(typename Element::Raw), n, block.x);

      const std::int32_t amax = amax_bits(block);
      const bool finite = amax < static_cast<std::int32_t>(kInfinityBits);
      if (finite) quantize_block(block, bit_cast<float>(amax), args.recipe.scale, thresholds);
      if (finite && (reference == nullptr || *reference == block.byte)) {
        pack(block, codes);
        args.scales[index] = block.byte;
        if (args.stats != nullptr) add_block(block, sums);
        continue;
      }
      float element[B];
      std::memcpy(element, block.x, sizeof element);
      if (!finite && args.recipe.nonfinite == NonFinite::error) {
        for (int i = 0; i < n; ++i) {
          if (!is_finite(element[i])) return first + static_cast<std::size_t>(i);
        }
      }
      args.scales[index] = quantize_odd_block<B>(element, n, args.recipe, reference, codes);
      if (args.stats != nullptr) add_odd_block(element, n, args.scales[index], codes, sums);
    }
  }
  if (args.stats != nullptr) add(sums, args.rows * args.columns, args.rows * blocks, *args.stats);
  return kNone;
}

template <class Element>
std::size_t quantize_blocks(const QuantizeArgs& args) noexcept {
  return args.block_size == 16 ? quantize_rows<Element, 16>(args) : quantize_rows<Element, 32>(args);
}

std::size_t quantize(const QuantizeArgs& args) noexcept {
  if (args.dtype == Dtype::f32) return quantize_blocks<F32Element>(args);
  if (args.dtype == Dtype::bf16) return quantize_blocks<Bf16Element>(args);
  return quantize_blocks<F16Element>(args);
}

}  // namespace
}  // namespace mxfp4::kernel
