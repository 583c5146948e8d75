// Two 4-bit codes in a byte.
#pragma once

#include <cstddef>
#include <cstdint>

#include "mxfp4/codec/macros.h"

namespace mxfp4 {

/// Which elements of a block share a byte.
enum class NibbleOrder : std::uint8_t {
  interleaved,  ///< byte i holds element 2i (low nibble) and 2i + 1 (high); all containers but GGUF
  split16,      ///< byte j of a block of 32 holds element j (low) and j + 16 (high); ggml
};

/// Code of element `i` of a block whose packed bytes begin at `block`.
MXFP4_CODEC std::uint8_t nibble(const std::uint8_t* block, std::size_t i, NibbleOrder order) noexcept {
  const std::size_t byte = order == NibbleOrder::interleaved ? i / 2 : i % 16;
  const bool high = order == NibbleOrder::interleaved ? i % 2 != 0 : i >= 16;
  return high ? block[byte] >> 4 : block[byte] & 15;
}

/// The byte of two codes 0..15.
MXFP4_CODEC std::uint8_t pack_nibbles(std::uint8_t low, std::uint8_t high) noexcept {
  return static_cast<std::uint8_t>(low | (high << 4));
}

}  // namespace mxfp4
