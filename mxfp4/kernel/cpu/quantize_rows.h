// Rows of elements to scale bytes and codes: groups of ordinary blocks in vectors, odd blocks by the scalar
// truth.
#pragma once

#include "mxfp4/kernel/cpu/block_sums.h"
#include "mxfp4/kernel/cpu/odd_block.h"
#include "mxfp4/kernel/cpu/quantize_group.h"
#include "mxfp4/kernel/cpu/quantize_weighted.h"
#include "mxfp4/kernel/ops.h"

namespace mxfp4::kernel {
namespace {

/// Where blocks of 32 elements are and where their bytes go.
struct Blocks {
  const std::byte* x;
  const std::uint8_t* reference;  ///< or null
  std::uint8_t* codes;
  std::uint8_t* scales;
};

/// With kGiven, codes and scales are there, and only statistics are to be had: those that quantising to them
/// has.
template <class I, class Element, bool kGiven = false>
class RowQuantizer {
  using Stored = typename StoredAs<Element>::Type;

 public:
  explicit RowQuantizer(const QuantizeArgs& args) noexcept
      : args_(args), plan_(plan_of(args.recipe, args.dtype == Dtype::f16)) {}

  /// What Ops::quantize returns.
  std::size_t run() noexcept {
    const bool one_row =
        args_.block_size == 32 && args_.columns % 32 == 0;  // rows without gaps between their blocks
    const std::size_t rows = one_row ? 1 : args_.rows;
    const std::size_t columns = one_row ? args_.rows * args_.columns : args_.columns;
    for (std::size_t row = 0; row < rows; ++row) {
      const std::size_t refused = quantize_row(row * columns, columns, row * blocks_in(columns));
      if (refused != kNone) return row * columns + refused;
    }
    if (args_.stats != nullptr) {
      sums_.add_to(*args_.stats, args_.rows * args_.columns, args_.rows * blocks_in(args_.columns));
    }
    return kNone;
  }

 private:
  std::size_t blocks_in(std::size_t columns) const noexcept {
    const auto size = static_cast<std::size_t>(args_.block_size);
    return (columns + size - 1) / size;
  }

  /// Whole groups where they lie; what is left, and all blocks of 16, by way of a buffer.
  std::size_t quantize_row(std::size_t first, std::size_t columns, std::size_t first_block) noexcept {
    const auto size = static_cast<std::size_t>(args_.block_size);
    const std::size_t groups = size == 32 ? columns / (32 * kGroup) : 0;
    const std::byte* const x = static_cast<const std::byte*>(args_.x) + first * sizeof(typename Element::Raw);
    const Blocks blocks = {x, args_.reference == nullptr ? nullptr : args_.reference + first_block,
                           args_.codes + first_block * size / 2, args_.scales + first_block};
    const bool aligned = reinterpret_cast<std::uintptr_t>(blocks.codes) % I::kVectorBytes == 0;
    std::size_t refused = args_.streaming && aligned && !read_again()
                              ? quantize_groups<true>(blocks, groups)
                              : quantize_groups<false>(blocks, groups);
    if (refused != kNone) return refused;
    for (std::size_t b = groups * kGroup; b < blocks_in(columns); b += kGroup) {
      refused = quantize_buffered(blocks, b, columns - b * size);
      if (refused != kNone) return b * size + refused;
    }
    return kNone;
  }

  /// Up to a group of blocks from block b on, of which `left` elements remain: each is completed with zeros
  /// to 32.
  std::size_t quantize_buffered(const Blocks& blocks, std::size_t b, std::size_t left) noexcept {
    const auto size = static_cast<std::size_t>(args_.block_size);
    const std::size_t count = blocks_in(left) < kGroup ? blocks_in(left) : kGroup;
    alignas(64) std::byte x[kGroup * kBlockBytes<Element>] = {};
    alignas(64) std::uint8_t codes[kGroup * 16];
    std::uint8_t scales[kGroup], reference[kGroup] = {};
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t n = left - i * size < size ? left - i * size : size;
      std::memcpy(x + i * kBlockBytes<Element>, blocks.x + (b + i) * size * sizeof(typename Element::Raw),
                  n * sizeof(typename Element::Raw));
    }
    if (kGiven) {
      std::memcpy(scales, blocks.scales + b, count);
      std::memset(codes, 0, sizeof codes);
      for (std::size_t i = 0; i < count; ++i)
        std::memcpy(codes + i * 16, blocks.codes + (b + i) * size / 2, size / 2);
    }
    if (blocks.reference != nullptr) std::memcpy(reference, blocks.reference + b, count);
    const std::size_t refused = quantize_groups<false>(
        {x, blocks.reference == nullptr ? nullptr : reference, codes, scales}, 1, static_cast<int>(count));
    if (refused != kNone) return refused / 32 * size + refused % 32;
    if (kGiven) return kNone;
    std::memcpy(blocks.scales + b, scales, count);
    for (std::size_t i = 0; i < count; ++i)
      std::memcpy(blocks.codes + (b + i) * size / 2, codes + i * 16, size / 2);
    return kNone;
  }

  /// Groups of which all blocks count, or the first `count` of one group.
  template <bool kStreaming>
  [[gnu::noinline]] std::size_t quantize_groups(const Blocks& blocks, std::size_t groups,
                                                int count = kGroup) noexcept {
    constexpr std::size_t kGroupBytes = kGroup * kBlockBytes<Element>;
    const QuantizePlan plan = plan_;
    Maxima<I, Element> maxima;
    const auto take_maxima = [&](const std::byte* x) {
      for (int i = 0; i < kGroup; ++i) maxima.take(x, i);
    };
    if (groups > 0 && !kGiven) take_maxima(blocks.x);
    for (std::size_t g = 0; g < groups; ++g) {
      const Blocks here = {blocks.x + g * kGroupBytes, blocks.reference, blocks.codes + g * kGroup * 16,
                           blocks.scales + g * kGroup};
      if (kGiven) take_maxima(here.x);
      Group<I> group = choose_bytes<I, Element>(I::maxima(maxima.partial), plan);
      if (plan.optimal && !kGiven) search<I, Element>(here.x, group);
      if (plan.zero_mask != 0) look_for_zeros<I, Element>(here.x, plan, group);
      if (!kGiven) {
        encode<I, Element, kStreaming>(here.x, g + 1 < groups ? here.x + kGroupBytes : here.x, plan,
                                       group.byte, maxima, here.codes, here.scales);
      }
      if (group.ordinary == 0xFFFF && !read_again()) continue;
      const std::size_t refused =
          finish({here.x, blocks.reference == nullptr ? nullptr : blocks.reference + g * kGroup, here.codes,
                  here.scales},
                 group.ordinary, count);
      if (refused != kNone) return g * kGroup * 32 + refused;
    }
    if (kStreaming) I::fence();
    return kNone;
  }

  bool read_again() const noexcept { return args_.stats != nullptr || args_.reference != nullptr; }

  /// Odd blocks and statistics of the first `count` blocks of a group.
  [[gnu::noinline]] std::size_t finish(const Blocks& blocks, std::uint32_t ordinary, int count) noexcept {
    for (int i = 0; i < count; ++i) {
      const std::byte* const block = block_at<Element>(blocks.x, i);
      std::uint8_t* const codes = blocks.codes + i * 16;
      std::uint8_t& byte = blocks.scales[i];
      const bool own = blocks.reference == nullptr || blocks.reference[i] == byte;
      if ((ordinary >> i & 1) != 0 && own) {
        if (args_.stats != nullptr) {
          sums_.add(I::errors(I::floats(I::load(Stored{}, block)), codes, kDequantizeTables.f32[byte]), byte);
        }
        continue;
      }
      float x[32];
      if (!kGiven) {
        read_block<Element>(block, x);
        for (int k = 0; k < 32; ++k) {
          if (refuses(args_.recipe, x[k])) return static_cast<std::size_t>(i * 32 + k);
        }
        byte =
            quantize_odd_block(x, args_.dtype, args_.recipe,
                               blocks.reference == nullptr ? nullptr : blocks.reference + i, nullptr, codes);
      }
      if (args_.stats != nullptr) {
        read_block<Stored>(block, x);
        sums_.add_odd(x, byte, codes);
      }
    }
    return kNone;
  }

  const QuantizeArgs& args_;
  const QuantizePlan plan_;
  BlockSums sums_ = {};
};

template <class I, class Element, bool kGiven>
std::size_t quantize(const QuantizeArgs& args) noexcept {
  return kGiven || args.importance.values == nullptr ? RowQuantizer<I, Element, kGiven>(args).run()
                                                     : quantize_weighted<Element>(args);
}

template <class I, bool kGiven = false>
std::size_t quantize(const QuantizeArgs& args) noexcept {
  if (args.dtype == Dtype::bf16) return quantize<I, Bf16, kGiven>(args);
  if (args.recipe.through_bf16) {
    return args.dtype == Dtype::f32 ? RowQuantizer<I, ThroughBf16<F32>, kGiven>(args).run()
                                    : RowQuantizer<I, ThroughBf16<F16>, kGiven>(args).run();
  }
  return args.dtype == Dtype::f32 ? quantize<I, F32, kGiven>(args) : quantize<I, F16, kGiven>(args);
}

template <class I>
void measure(const QuantizeArgs& args) noexcept {
  quantize<I, true>(args);
}

}  // namespace
}  // namespace mxfp4::kernel
