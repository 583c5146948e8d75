// Rows as a checkpoint has them, to groups of sixteen side by side (packed.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "mxfp4/codec/e8m0.h"
#include "mxfp4/kernel/cpu/packed.h"
#include "mxfp4/kernel/linear_ops.h"

namespace mxfp4::kernel {
namespace {

/// The rows of a group as they come; rows beyond the matrix have no bytes.
struct SourceRows {
  const std::uint8_t* codes;
  const std::uint8_t* scales;
  std::size_t blocks, rows;

  const std::uint8_t* block_codes(std::size_t row, std::size_t b) const noexcept {
    return codes + (row * blocks + b) * 16;
  }
  std::uint8_t scale(std::size_t row, std::size_t b) const noexcept { return scales[row * blocks + b]; }
};

struct Span {
  std::uint8_t least = 255, most = 0;
  bool fits() const noexcept { return most < kE8m0Nan && most - least <= kMostSpan; }
  void add(std::uint8_t byte) noexcept {
    least = byte < least ? byte : least;
    most = byte > most ? byte : most;
  }
};

Span span_of(const SourceRows& source) noexcept {
  Span span;
  const std::size_t count = source.rows * source.blocks;
  for (std::size_t i = 0; i < count; ++i) {
    span.least = source.scales[i] < span.least ? source.scales[i] : span.least;
    span.most = source.scales[i] > span.most ? source.scales[i] : span.most;
  }
  return span;
}

/// The same without blocks of zeros, whose scale (often byte 0) means nothing. NaN blocks count.
Span span_of_values(const SourceRows& source) noexcept {
  Span span;
  for (std::size_t row = 0; row < source.rows; ++row) {
    for (std::size_t b = 0; b < source.blocks; ++b) {
      const std::uint8_t byte = source.scale(row, b);
      if (byte == kE8m0Nan || !is_zero_block(source.block_codes(row, b))) span.add(byte);
    }
  }
  return span;
}

/// One block after the other: any blocks, any number of rows. Differences to the base beyond
/// kMostSpan are of zero blocks.
void pack_plainly(const SourceRows& source, std::uint8_t base, bool wide, std::size_t first_block,
                  std::byte* out) noexcept {
  for (std::size_t b = first_block; b < source.blocks; ++b) {
    const PackedBlock at = packed_block(b, source.blocks);
    for (std::size_t row = 0; row < kGroupRows; ++row) {
      std::uint8_t byte = 0;
      if (row < source.rows) {
        byte = static_cast<std::uint8_t>(source.scale(row, b) - base);
        if (!wide && byte > kMostSpan) byte = 0;
      }
      out[at.scales + row] = static_cast<std::byte>(byte);
      for (std::size_t j = 0; j < 4; ++j) {
        std::byte* const to = out + at.codes + 64 * j + 4 * row;
        if (row < source.rows) {
          std::memcpy(to, source.block_codes(row, b) + 4 * j, 4);
        } else {
          std::memset(to, 0, 4);
        }
      }
    }
  }
  const std::size_t used = source.blocks * kPackedBlock;
  std::memset(out + used, 0, packed_group_bytes(source.blocks) - used);
}

/// I::pack_chunk(codes of row 0, bytes from row to row, scales of row 0, bytes from row to row, base, out):
/// four blocks of sixteen rows; differences to the base above kMostSpan become 0.
template <class I>
void pack(const PackArgs& args) noexcept {
  const std::size_t group_bytes = packed_group_bytes(args.blocks), whole_chunks = args.blocks / kChunkBlocks;
  for (std::size_t g = 0; g < args.groups; ++g) {
    const std::size_t row = (args.first_group + g) * kGroupRows, left = args.rows - row;
    const SourceRows source = {args.codes + row * args.blocks * 16, args.scales + row * args.blocks,
                               args.blocks, left < kGroupRows ? left : kGroupRows};
    std::byte* const out = args.out + g * group_bytes;
    Span span = span_of(source);
    if (!span.fits()) span = span_of_values(source);
    const bool none = span.least > span.most;  // zeros only
    GroupInfo& info = args.info[g];
    info = {none || !span.fits() ? std::uint8_t{0} : span.least, !none && !span.fits()};
    if (none) info.base = kE8m0Bias;
    std::size_t done = 0;
    if (source.rows == kGroupRows && !info.wide) {
      for (std::size_t c = 0; c < whole_chunks; ++c, done += kChunkBlocks) {
        I::pack_chunk(source.block_codes(0, done), args.blocks * 16, source.scales + done, args.blocks,
                      info.base, out + c * kChunkBytes);
      }
    }
    pack_plainly(source, info.base, info.wide, done, out);
  }
  I::fence();
}

std::size_t group_bytes(std::size_t blocks) noexcept {
  return packed_group_bytes(blocks);
}

}  // namespace
}  // namespace mxfp4::kernel
