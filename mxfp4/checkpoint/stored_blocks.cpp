#include "mxfp4/checkpoint/stored_blocks.h"

#include <cstring>

#include "mxfp4/base/fail_internal.h"

namespace mxfp4 {
namespace {

constexpr std::int64_t kBlockBytes = kBlockSize / 2;

// Byte j of split16 holds elements j and j + 16; byte i of the result holds 2i and 2i + 1.
void interleave(const std::uint8_t* from, std::uint8_t* to) noexcept {
  for (int i = 0; i < kBlockBytes / 2; ++i) {
    const std::uint8_t a = from[2 * i], b = from[2 * i + 1];
    to[i] = static_cast<std::uint8_t>((a & 0x0F) | (b << 4));
    to[i + kBlockBytes / 2] = static_cast<std::uint8_t>((a >> 4) | (b & 0xF0));
  }
}

void copy_blocks(const StoredBlocks& from, std::int64_t first, std::int64_t count, std::uint8_t* codes,
                 std::uint8_t* scales) noexcept {
  if (from.is_plain() && from.order == NibbleOrder::interleaved) {
    std::memcpy(codes, from.codes + first * kBlockBytes, static_cast<std::size_t>(count * kBlockBytes));
    std::memcpy(scales, from.scales + first, static_cast<std::size_t>(count));
    return;
  }
  for (std::int64_t block = first; block < first + count; ++block, codes += kBlockBytes, ++scales) {
    const std::uint8_t* const stored = from.codes + block * from.code_pitch;
    if (from.order == NibbleOrder::interleaved) {
      std::memcpy(codes, stored, kBlockBytes);
    } else {
      interleave(stored, codes);
    }
    *scales = from.scales[block * from.scale_pitch];
  }
}

}  // namespace

Mxfp4View StoredBlocks::view() const {
  if (!is_plain()) fail(ErrorCode::unsupported, "codes and scales lie in turns");
  return {codes, scales, shape, kBlockSize, order};
}

Mxfp4View StoredBlocks::rows(std::int64_t first, std::int64_t count, std::int64_t step, std::int64_t begin,
                             std::int64_t end, std::byte* scratch) const {
  const std::int64_t per_row = blocks_per_row(), begin_block = begin / kBlockSize,
                     width = (end - begin) / kBlockSize;
  const Shape result = {count, end - begin};
  if (is_plain() && (count == 1 || (step == 1 && width == per_row))) {
    const std::int64_t block = first * per_row + begin_block;
    return {codes + block * kBlockBytes, scales + block, result, kBlockSize, order};
  }
  auto* const to_codes = reinterpret_cast<std::uint8_t*>(scratch);
  std::uint8_t* const to_scales = to_codes + count * width * kBlockBytes;
  for (std::int64_t row = 0; row < count; ++row) {
    copy_blocks(*this, (first + row * step) * per_row + begin_block, width,
                to_codes + row * width * kBlockBytes, to_scales + row * width);
  }
  return {to_codes, to_scales, result, kBlockSize, NibbleOrder::interleaved};
}

std::size_t StoredBlocks::scratch_bytes(std::int64_t elements) noexcept {
  return static_cast<std::size_t>(elements / kBlockSize * (kBlockBytes + 1));
}

void copy_row(const StoredBlocks& blocks, std::int64_t row, std::uint8_t* codes,
              std::uint8_t* scales) noexcept {
  copy_blocks(blocks, row * blocks.blocks_per_row(), blocks.blocks_per_row(), codes, scales);
}

}  // namespace mxfp4
