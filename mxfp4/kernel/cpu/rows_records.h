// Tokens for weights that are used where they lie (rows_format.h): the records of packed weights, rearranged.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "mxfp4/kernel/cpu/rows_format.h"
#include "mxfp4/kernel/cpu/token_records.h"
#include "mxfp4/kernel/linear_ops.h"

namespace mxfp4::kernel {
namespace {

/// The sums of the products of a chunk's digits and one vector of weights, on top of `sum`.
template <class I, int kDigits>
[[gnu::always_inline]] inline typename I::Ints add_digits(typename I::Ints sum, typename I::Weights low,
                                                          typename I::Weights high,
                                                          const std::byte* digits) noexcept {
  constexpr int kBits = kRadixBits[kDigits - 1];
  if constexpr (kDigits == 3) sum = I::template add_products<2 * kBits>(sum, low, high, digits);
  if constexpr (kDigits >= 2) {
    sum = I::template add_products<kBits>(sum, low, high, digits + (kDigits - 2) * kRowPlane);
  }
  return I::template add_products<0>(sum, low, high, digits + (kDigits - 1) * kRowPlane);
}

/// A chunk of integers from the records of its blocks.
template <class I, int kDigits>
void arrange_integers(const std::byte* blocks, std::byte* chunk) noexcept {
  constexpr std::size_t kBlock = 36 * kDigits + 4;
  constexpr std::byte kZeros[64] = {};
  float steps[kRowLanes];
  for (std::size_t b = 0; b < kRowChunk; ++b, blocks += kBlock) {
    for (std::size_t half = 0; half < 2 * kDigits; ++half) {
      std::memcpy(chunk + half * kRowChunkCodes + 16 * b, blocks + 16 * half, 16);
    }
    float half_step;
    std::memcpy(&half_step, blocks + 36 * kDigits, sizeof half_step);
    for (std::size_t lane = 4 * b; lane < 4 * b + 4; ++lane) {
      steps[lane] = half_step * f32_power_of_two(kRowExponent);
    }
  }
  std::int32_t starts[kRowLanes] = {};  // codes of zero must give zero
  for (std::size_t lane = 0; lane < kRowLanes; lane += I::kLanes) {
    typename I::Ints sum;
    std::memcpy(&sum, starts + lane, sizeof sum);
    const typename I::Codes zeros = I::codes(kZeros);
    sum = add_digits<I, kDigits>(sum, I::template weights<false>(zeros), I::template weights<true>(zeros),
                                 chunk + 4 * lane);
    std::memcpy(starts + lane, &sum, sizeof sum);
  }
  for (std::int32_t& start : starts) start = -start;
  std::memcpy(chunk + kDigits * kRowPlane, starts, sizeof starts);
  std::memcpy(chunk + kDigits * kRowPlane + sizeof starts, steps, sizeof steps);
}

/// A chunk of floats. In a block's record element 16 h + i meets code byte i, its low nibble if h is 0.
void arrange_floats(const std::byte* blocks, std::byte* chunk) noexcept {
  float from[kRowChunk * 32], to[8 * kRowLanes];
  std::memcpy(from, blocks, sizeof from);
  for (std::size_t i = 0; i < 8; ++i) {
    for (std::size_t lane = 0; lane < kRowLanes; ++lane) {
      const std::size_t place = lane / 4 * 32 + i % 2 * 16 + lane % 4 * 4 + i / 2;
      to[i * kRowLanes + lane] = from[place] * f32_power_of_two(kRowExponent);
    }
  }
  std::memcpy(chunk, to, sizeof to);
}

template <class I>
void encode_for_rows(const EncodeArgs& args) noexcept {
  const TokenFormat format = args.plan.format;
  if (format == TokenFormat::raw) return encode<I>(args);
  alignas(64) std::byte blocks[kRowChunk * block_record_bytes(TokenFormat::floats)];  // the largest
  EncodeArgs part = args;
  part.record = blocks;
  std::byte* chunk = args.record;
  for (std::size_t b = 0; b < args.blocks; b += kRowChunk, chunk += row_chunk_bytes(format)) {
    part.x = args.x + 32 * b;
    part.blocks = args.blocks - b < kRowChunk ? args.blocks - b : kRowChunk;
    if (part.blocks < kRowChunk) std::memset(blocks, 0, sizeof blocks);
    encode<I>(part);
    switch (format) {
      case TokenFormat::digits1:
        arrange_integers<I, 1>(blocks, chunk);
        break;
      case TokenFormat::digits2:
        arrange_integers<I, 2>(blocks, chunk);
        break;
      case TokenFormat::digits3:
        arrange_integers<I, 3>(blocks, chunk);
        break;
      case TokenFormat::floats:
      case TokenFormat::raw:
        arrange_floats(blocks, chunk);
        break;
    }
  }
}

std::size_t row_record_bytes(TokenFormat format, std::size_t blocks) noexcept {
  return row_record_bytes_of(format, blocks);
}

}  // namespace
}  // namespace mxfp4::kernel
