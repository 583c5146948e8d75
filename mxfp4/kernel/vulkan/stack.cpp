#include "mxfp4/kernel/vulkan/stack.h"

#include <algorithm>
#include <cstring>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/kernel/vulkan/recording.h"

namespace mxfp4::kernel::vulkan {
namespace {

constexpr std::size_t kCodeBytes = 16;  // of a block

/// The codes of a block in the order of its elements.
void copy_block(const std::uint8_t* from, NibbleOrder order, std::byte* to) {
  if (order == NibbleOrder::interleaved) {
    std::memcpy(to, from, kCodeBytes);
    return;
  }
  for (std::size_t i = 0; i < kCodeBytes; ++i) {
    to[i] = static_cast<std::byte>(pack_nibbles(nibble(from, 2 * i, order), nibble(from, 2 * i + 1, order)));
  }
}

/// The rows of a range, numbered from 0.
struct RangeRows {
  const DeviceMatrices& from;
  const WeightRange& range;
  std::size_t blocks;  ///< of a row, as they lie there

  const Mxfp4View& matrix(std::size_t row) const {
    return from.matrices[range.first_expert + row / range.rows];
  }
  std::size_t first_block(std::size_t row) const { return (range.first_row + row % range.rows) * blocks; }
  std::size_t count() const { return range.experts * range.rows; }

  /// Codes or scales of rows [first, first + count), `each` bytes a block, will not be read again.
  void done(const std::uint8_t* Mxfp4View::*bytes, std::size_t each, std::size_t first,
            std::size_t count) const {
    if (!from.done_with) return;
    for (std::size_t row = first, next; row < first + count; row = next) {
      next = std::min(first + count, (row / range.rows + 1) * range.rows);  // as far as its matrix goes
      from.done_with({matrix(row).*bytes + first_block(row) * each, (next - row) * blocks * each});
    }
  }
};

}  // namespace

Uploader::Uploader(Gpu& gpu)
    : gpu_(gpu), staging_(gpu.memory().buffer(gpu.bounds().staging, Place::upload)) {}

std::byte* Uploader::room(std::size_t bytes) {
  if (bytes > staging_.bytes()) staging_ = gpu_.memory().buffer(bytes, Place::upload);
  return staging_.mapped<std::byte>();
}

void Uploader::copy(const Buffer& to, std::uint64_t offset, std::uint64_t bytes) {
  Recording recording(gpu_, 1);
  recording.copy(staging_, to, bytes, 0, offset);
  recording.barrier();
  recording.end();
  recording.run();
}

void Uploader::upload(const Buffer& to, const void* from, std::size_t bytes) {
  upload(to, bytes / 4, 4, [&](std::byte* memory, std::size_t first, std::size_t count) {
    std::memcpy(memory, static_cast<const std::byte*>(from) + first * 4, count * 4);
  });
}

Stack::Stack(Gpu& gpu, const DeviceMatrices& matrices)
    : experts(matrices.matrices.size()),
      rows(matrices.empty() ? 0 : matrices.rows()),
      columns(matrices.empty() ? 0 : matrices.columns()),
      blocks(padded_blocks(columns)),
      with_bias(!matrices.bias.empty()) {
  const std::size_t row_bytes = blocks * kCodeBytes, from_blocks = (columns + 31) / 32;
  const std::vector<WeightRange> ranges = split_weight(experts, rows, row_bytes, gpu.traits().storage_range,
                                                       std::size_t{gpu.traits().workgroups[0]} * kDecodeRows);
  if (ranges.empty() && experts != 0 && rows != 0) {
    fail(ErrorCode::unsupported, "vulkan: a row of {} columns has {} bytes; {} shows {} at a time", columns,
         row_bytes, gpu.traits().name, gpu.traits().storage_range);
  }
  if (matrices.bias.size_bytes() > gpu.traits().storage_range) {
    fail(ErrorCode::unsupported, "vulkan: {} bytes of biases; {} shows {} at a time",
         matrices.bias.size_bytes(), gpu.traits().name, gpu.traits().storage_range);
  }
  Uploader uploader(gpu);
  for (const WeightRange& range : ranges) {
    const RangeRows from{matrices, range, from_blocks};
    Part part{range, gpu.memory().buffer(from.count() * row_bytes, Place::device),
              gpu.memory().buffer(from.count() * blocks, Place::device)};
    uploader.upload(
        part.codes, from.count(), row_bytes, [&](std::byte* memory, std::size_t first, std::size_t count) {
          for (std::size_t row = first; row < first + count; ++row, memory += row_bytes) {
            const Mxfp4View& matrix = from.matrix(row);
            const std::uint8_t* const codes = matrix.codes + from.first_block(row) * kCodeBytes;
            for (std::size_t b = 0; b < from_blocks; ++b) {
              copy_block(codes + b * kCodeBytes, matrix.order, memory + b * kCodeBytes);
            }
            std::memset(memory + from_blocks * kCodeBytes, 0, (blocks - from_blocks) * kCodeBytes);
          }
          from.done(&Mxfp4View::codes, kCodeBytes, first, count);
        });
    uploader.upload(part.scales, from.count(), blocks,
                    [&](std::byte* memory, std::size_t first, std::size_t count) {
                      for (std::size_t row = first; row < first + count; ++row, memory += blocks) {
                        if (from_blocks > 0) {
                          std::memcpy(memory, from.matrix(row).scales + from.first_block(row), from_blocks);
                        }
                        std::memset(memory + from_blocks, 0, blocks - from_blocks);
                      }
                      from.done(&Mxfp4View::scales, 1, first, count);
                    });
    parts.push_back(std::move(part));
  }
  bias = gpu.memory().buffer(matrices.bias.size_bytes(), Place::device);
  uploader.upload(bias, matrices.bias.data(), matrices.bias.size_bytes());
}

std::size_t Stack::bytes() const noexcept {
  std::size_t bytes = bias.bytes();
  for (const Part& part : parts) bytes += part.codes.bytes() + part.scales.bytes();
  return bytes;
}

}  // namespace mxfp4::kernel::vulkan
