// Sixteen blocks at a time: their maxima, their scale bytes, whether a neighbouring scale is better, their
// codes. I is an instruction set's primitives: isa_scalar.h says in plain C++ what each of them does.
#pragma once

#include "mxfp4/kernel/cpu/elements.h"
#include "mxfp4/kernel/cpu/quantize_plan.h"

namespace mxfp4::kernel {
namespace {

constexpr int kGroup = 16;
constexpr std::uint32_t kMantissa = 0x7FFFFF;

template <class Element>
const std::byte* block_at(const std::byte* x, int i) noexcept {
  return x + static_cast<std::size_t>(i) * kBlockBytes<Element>;
}

/// What is known of a group, a lane for each block.
template <class I>
struct Group {
  typename I::Lanes amax;  ///< bits of the largest magnitudes; those of NaN are above those of infinity
  typename I::Lanes byte;
  std::uint32_t ordinary;  ///< bit i: byte and codes of block i are right; they mean nothing elsewhere
};

template <class I, class Element>
[[gnu::always_inline]] inline Group<I> choose_bytes(typename I::Lanes maxima,
                                                    const QuantizePlan& plan) noexcept {
  const auto amax = I::masked(maxima, Element::kBits);
  const auto carried = I::template shifted_right<23>(I::plus(amax, plan.offset));
  std::uint32_t odd = I::at_least(I::plus(amax, 0u - plan.least), plan.most - plan.least);
  if (plan.width != 0) {
    odd |= ~I::at_least(I::masked(I::plus(amax, 0u - plan.window), kMantissa), plan.width);
  }
  return {amax, I::plus(carried, 0u - plan.bias), ~odd & 0xFFFFu};
}

/// Blocks with a zero that the code table cannot tell from other elements that round to zero are odd.
template <class I, class Element>
void look_for_zeros(const std::byte* x, const QuantizePlan& plan, Group<I>& group) noexcept {
  for (int i = 0; i < kGroup; ++i) {
    const bool found = I::any(I::load(Element{}, block_at<Element>(x, i)), plan.zero_mask, plan.zero);
    if (found) group.ordinary &= ~(1u << i);
  }
}

/// Whether the scale next to that of block i, above or below, has the lower squared error.
template <class I, class Element>
bool better(const std::byte* x, int i, typename I::Lanes bytes, bool above) noexcept {
  const std::byte* const block = block_at<Element>(x, i);
  const std::int32_t excess = I::excess(I::load(Element{}, block), I::broadcast(bytes, i), above);
  if (sizeof(typename Element::Raw) == 4 && excess <= kUndecided && excess >= -kUndecided) {
    float elements[32];
    std::uint8_t byte[kGroup];
    read_block<Element>(block, elements);
    I::store_bytes(byte, bytes);
    return excess_error(elements, 32, byte[i], static_cast<std::uint8_t>(above ? byte[i] + 1 : byte[i] - 1)) <
           0.0;
  }
  return excess > 0;
}

/// Takes the better scale where the maximum leaves it open, which it does for few blocks (codec/block.h has
/// the bounds).
template <class I, class Element>
[[gnu::always_inline]] inline void search(const std::byte* x, Group<I>& group) noexcept {
  const auto mantissa = I::masked(group.amax, kMantissa);
  const std::uint32_t above = I::at_least(mantissa, (f32_bits(kOptimalUp) & kMantissa) + 1) & group.ordinary;
  const std::uint32_t below = ~I::at_least(mantissa, f32_bits(kOptimalDown) & kMantissa) & group.ordinary;
  std::uint32_t taken = 0;
  for (std::uint32_t open = above | below; open != 0; open &= open - 1) {
    const int i = __builtin_ctz(open);
    const bool up = (above >> i & 1) != 0;
    if (better<I, Element>(x, i, group.byte, up)) taken |= 1u << i;
  }
  group.byte = I::plus_where(taken & above, group.byte, 1u);
  group.byte = I::plus_where(taken & below, group.byte, 0u - 1u);
}

/// The first step towards the maxima of a group: what its blocks add to it.
template <class I, class Element>
struct Maxima {
  typename I::Partial partial[kGroup];

  [[gnu::always_inline]] void take(const std::byte* x, int i) noexcept {
    partial[i] = I::maximum_at(Element{}, block_at<Element>(x, i));
  }
};

/// Encodes the group at x. Meanwhile it takes the maxima of the group at `next`, so that memory is asked for
/// new lines all the time; when their turn to be encoded comes, they are near. All lines are read in
/// ascending order: what fetches memory ahead of a processor's loads gives up on any other.
template <class I, class Element>
struct Encoder {
  const std::byte* x;
  const std::byte* next;
  std::uint32_t bump;
  typename I::Lanes origins;
  typename I::CodeTable table;
  Maxima<I, Element>& maxima;

  [[gnu::always_inline]] auto part(int i) noexcept {
    maxima.take(next, i);
    return I::parted(I::load(Element{}, block_at<Element>(x, i)), bump);
  }
  [[gnu::always_inline]] typename I::Codes two(int i) noexcept {
    const auto a = part(i);
    const auto steps_a = I::steps(a.magnitude, I::broadcast(origins, i));
    const auto b = part(i + 1);
    const auto steps_b = I::steps(b.magnitude, I::broadcast(origins, i + 1));
    return I::codes(steps_a, steps_b, a.sign, b.sign, table);
  }
  template <bool kStreaming>
  [[gnu::always_inline]] void four(int i, std::uint8_t* codes) noexcept {
    const auto ab = two(i);
    const auto cd = two(i + 2);
    I::template store_codes<kStreaming>(codes + 16 * i, ab, cd);
  }
};

template <class I, class Element, bool kStreaming>
[[gnu::always_inline]] inline void encode(const std::byte* x, const std::byte* next, const QuantizePlan& plan,
                                          typename I::Lanes byte, Maxima<I, Element>& maxima,
                                          std::uint8_t* codes, std::uint8_t* scales) noexcept {
  I::store_bytes(scales, byte);
  const auto origins =
      I::word_pairs(I::plus(I::template shifted_left<7>(I::plus(byte, 0u - 2u)), 0u - plan.below));
  Encoder<I, Element> encoder = {x, next, plan.bump, origins, I::load_codes(plan.code), maxima};
  encoder.template four<kStreaming>(0, codes);
  encoder.template four<kStreaming>(4, codes);
  encoder.template four<kStreaming>(8, codes);
  encoder.template four<kStreaming>(12, codes);
}

}  // namespace
}  // namespace mxfp4::kernel
