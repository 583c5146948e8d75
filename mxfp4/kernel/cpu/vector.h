// Vectors of MXFP4_LANES f32 (4 or 8, set by the file that includes this) in the compilers' own extension:
// one source, and the flags of that file decide what becomes of it. Everything in the headers of this folder
// that do the work lies in an unnamed namespace, because a function compiled for two instruction sets must
// never become one symbol.
#pragma once

#include <cstdint>
#include <cstring>

#include "mxfp4/codec/bits.h"

namespace mxfp4::kernel {
namespace {

constexpr int kLanes = MXFP4_LANES;

using Floats [[gnu::vector_size(4 * kLanes)]] = float;
using Ints [[gnu::vector_size(4 * kLanes)]] = std::int32_t;
using Words [[gnu::vector_size(4 * kLanes)]] = std::uint32_t;
using Pairs [[gnu::vector_size(4 * kLanes)]] = std::uint64_t;
using Doubles [[gnu::vector_size(4 * kLanes)]] = double;
using HalfFloats [[gnu::vector_size(2 * kLanes)]] = float;
using Shorts [[gnu::vector_size(2 * kLanes)]] = std::uint16_t;
using Bytes16 [[gnu::vector_size(16)]] = std::uint8_t;

inline Floats magnitudes(Floats x) noexcept {
  return bit_cast<Floats>(bit_cast<Words>(x) & 0x7FFFFFFFu);
}

inline std::int32_t largest(Ints x) noexcept {
  std::int32_t lane[kLanes];
  std::memcpy(lane, &x, sizeof lane);
  for (int width = kLanes / 2; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) lane[i] = lane[i] > lane[i + width] ? lane[i] : lane[i + width];
  }
  return lane[0];
}

struct Widened {
  Doubles low, high;
};

/// Lanes 0 .. kLanes / 2 - 1 and the others.
inline Widened widened(Floats x) noexcept {
#if MXFP4_LANES == 8
  return {__builtin_convertvector(__builtin_shufflevector(x, x, 0, 1, 2, 3), Doubles),
          __builtin_convertvector(__builtin_shufflevector(x, x, 4, 5, 6, 7), Doubles)};
#else
  return {__builtin_convertvector(__builtin_shufflevector(x, x, 0, 1), Doubles),
          __builtin_convertvector(__builtin_shufflevector(x, x, 2, 3), Doubles)};
#endif
}

/// Byte 0 of every 64-bit lane, then byte 1 of every lane, and so on until there are 16.
inline Bytes16 transposed(Pairs x) noexcept {
#if MXFP4_LANES == 8
  const Words words = bit_cast<Words>(x);
  const Bytes16 lanes = bit_cast<Bytes16>(__builtin_shufflevector(words, words, 0, 2, 4, 6));
  return __builtin_shufflevector(lanes, lanes, 0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
#else
  const Bytes16 lanes = bit_cast<Bytes16>(x);
  return __builtin_shufflevector(lanes, lanes, 0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15);
#endif
}

/// Magnitudes of the E2M1 codes 0..7: max(c / 2, c - 2, 2c - 8).
inline Floats e2m1_magnitudes(Ints code) noexcept {
  const Floats c = __builtin_convertvector(code, Floats);
  const Floats small = 0.5f * c, middle = c - 2.0f, large = 2.0f * c - 8.0f;
  const Floats most = small > middle ? small : middle;
  return most > large ? most : large;
}

/// A sum in double over the lanes i mod 8 of a block, whatever the vectors: the order of additions is always
/// the same.
struct Sum8 {
  static constexpr int kParts = 16 / kLanes;
  Doubles part[kParts] = {};

  /// Adds the terms of vector j.
  void add(int j, Doubles low, Doubles high) noexcept {
    part[2 * j % kParts] += low;
    part[(2 * j + 1) % kParts] += high;
  }

  double total() const noexcept {
    double lane[8];
    std::memcpy(lane, part, sizeof lane);
    return ((lane[0] + lane[1]) + (lane[2] + lane[3])) + ((lane[4] + lane[5]) + (lane[6] + lane[7]));
  }
};

}  // namespace
}  // namespace mxfp4::kernel
