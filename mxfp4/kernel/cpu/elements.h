// The dtypes of dense elements as tags.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "mxfp4/codec/float16.h"

namespace mxfp4::kernel {
namespace {

struct F32 {
  using Raw = std::uint32_t;
  static constexpr std::uint32_t kBits = 0xFFFFFFFF;  ///< of a maximum: below them it means nothing
  static float value(Raw bits) noexcept { return bit_cast<float>(bits); }
};
struct Bf16 {
  using Raw = std::uint16_t;
  static constexpr std::uint32_t kBits = 0xFFFF0000;
  static float value(Raw bits) noexcept { return bf16_to_f32(bits); }
};
struct F16 {
  using Raw = std::uint16_t;
  static constexpr std::uint32_t kBits = 0xFFFFFFFF;
  static float value(Raw bits) noexcept { return f16_to_f32(bits); }
};

/// Elements that are rounded to bf16 when they are read.
template <class Element>
struct ThroughBf16 {
  using Raw = typename Element::Raw;
  static constexpr std::uint32_t kBits = 0xFFFFFFFF;
  static float value(Raw bits) noexcept { return bf16_to_f32(f32_to_bf16(Element::value(bits))); }
};

/// What stands in memory, whatever it is rounded to.
template <class Element>
struct StoredAs {
  using Type = Element;
};
template <class Element>
struct StoredAs<ThroughBf16<Element>> {
  using Type = Element;
};

template <class Element>
inline constexpr std::size_t kBlockBytes = 32 * sizeof(typename Element::Raw);

/// The 32 elements of a block.
template <class Element>
void read_block(const std::byte* from, float* x) noexcept {
  for (int i = 0; i < 32; ++i) {
    typename Element::Raw raw;
    std::memcpy(&raw, from + static_cast<std::size_t>(i) * sizeof raw, sizeof raw);
    x[i] = Element::value(raw);
  }
}

}  // namespace
}  // namespace mxfp4::kernel
