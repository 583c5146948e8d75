// Rows go through the device in passes: blocks are copied to a staging buffer, where the last of a row is
// completed with zeros, from there to the device and back. So shaders see whole blocks without gaps, and the
// memory in use does not grow with the tensor.
#include "mxfp4/kernel/vulkan/codec.h"

#include <algorithm>
#include <cstring>
#include <mutex>
#include <optional>

#include "mxfp4/kernel/vulkan/plan.h"
#include "mxfp4/kernel/vulkan/recording.h"

namespace mxfp4::kernel::vulkan {
namespace {

/// Rows of elements as a run of blocks.
class RowBlocks {
 public:
  RowBlocks(std::size_t rows, std::size_t columns, std::size_t size, std::size_t bytes_each) noexcept
      : columns_(columns),
        size_(size),
        bytes_each_(bytes_each),
        per_row_((columns + size - 1) / size),
        count_(rows * per_row_) {}

  std::size_t count() const noexcept { return count_; }
  std::size_t size() const noexcept { return size_; }
  std::size_t bytes_each() const noexcept { return bytes_each_; }
  /// Index of element `i` of block `block` among the elements of the rows.
  std::size_t element(std::size_t block, std::size_t i) const noexcept {
    return block / per_row_ * columns_ + block % per_row_ * size_ + i;
  }
  /// Calls body(bytes into the rows, bytes into the blocks, bytes, bytes of completion behind them).
  template <class Body>
  void for_each_run(std::size_t first, std::size_t count, const Body& body) const {
    if (columns_ % size_ == 0) return body(first * block_bytes(), 0, count * block_bytes(), 0);
    for (std::size_t block = first; block < first + count;) {
      const std::size_t in_row = block % per_row_;
      const std::size_t blocks = std::min(per_row_ - in_row, first + count - block);
      const std::size_t elements = std::min(blocks * size_, columns_ - in_row * size_);
      body(element(block, 0) * bytes_each_, (block - first) * block_bytes(), elements * bytes_each_,
           blocks * block_bytes() - elements * bytes_each_);
      block += blocks;
    }
  }

 private:
  std::size_t block_bytes() const noexcept { return size_ * bytes_each_; }
  std::size_t columns_, size_, bytes_each_, per_row_, count_;
};

RowBlocks blocks_of(std::size_t rows, std::size_t columns, int block_size, Dtype dtype) {
  return {columns == 0 ? 0 : rows, std::max<std::size_t>(columns, 1), static_cast<std::size_t>(block_size),
          static_cast<std::size_t>(bits_of(dtype)) / 8};
}

/// As elements.glsl numbers them.
std::uint32_t number_of(Dtype dtype) noexcept {
  return dtype == Dtype::f32 ? 0 : dtype == Dtype::bf16 ? 1 : 2;
}

/// Elements, codes and scales of one pass, on the device and on either side of it.
struct PassBuffers {
  std::size_t blocks;  ///< whole workgroups
  std::uint64_t element_bytes, code_bytes, scale_bytes;
  Buffer elements, codes, scales;

  PassBuffers(Gpu& gpu, const RowBlocks& rows)
      : blocks(std::min(blocks_per_pass(rows.size(), rows.bytes_each(),
                                        std::min(gpu.bounds().staging, gpu.traits().storage_range)),
                        (rows.count() + kWorkgroupBlocks - 1) / kWorkgroupBlocks * kWorkgroupBlocks)),
        element_bytes(blocks * rows.size() * rows.bytes_each()),
        code_bytes(blocks * rows.size() / 2),
        scale_bytes(blocks),
        elements(gpu.memory().buffer(element_bytes, Place::device)),
        codes(gpu.memory().buffer(code_bytes, Place::device)),
        scales(gpu.memory().buffer(scale_bytes, Place::device)) {}
};

/// Calls body(first block, number of blocks, recording) for every pass; record(recording, blocks) records
/// one.
template <class Record, class Body>
void for_each_pass(Gpu& gpu, std::size_t total, std::size_t per_pass, const Record& record,
                   const Body& body) {
  std::optional<Recording> recording;
  std::size_t recorded = 0;
  for (std::size_t first = 0; first < total; first += per_pass) {
    const std::size_t count = std::min(per_pass, total - first);
    if (count != recorded) {
      recording.emplace(gpu, 1);
      record(*recording, static_cast<std::uint32_t>(count));
      recording->end();
      recorded = count;
    }
    if (!body(first, count, *recording)) return;
  }
}

struct QuantizeArguments {  // as quantize.comp has them
  std::uint32_t blocks, size, dtype, through_bf16, offset, bias, rule, ties, nonfinite, zeros;
};

QuantizeArguments arguments_of(const QuantizeArgs& args) {
  const Recipe& recipe = args.recipe;
  const ScaleRuleInfo& rule = info(recipe.scale);
  const std::uint32_t kind = recipe.scale == ScaleRule::optimal ? 2
                             : recipe.scale == ScaleRule::rceil ? 1
                                                                : 0;
  std::uint32_t ties = 0;
  for (int code = 0; code < 7; ++code) {
    ties |= static_cast<std::uint32_t>(e2m1_tie_goes_up(code, recipe.ties)) << code;
  }
  const std::uint32_t nonfinite = recipe.nonfinite == NonFinite::nan_block  ? 1
                                  : recipe.nonfinite == NonFinite::saturate ? 2
                                                                            : 0;
  return {0,
          static_cast<std::uint32_t>(args.block_size),
          number_of(args.dtype),
          recipe.through_bf16,
          rule.offset,
          static_cast<std::uint32_t>(rule.bias),
          kind,
          ties,
          nonfinite,
          static_cast<std::uint32_t>(recipe.zeros)};
}

struct DequantizeArguments {  // as dequantize.comp has them
  std::uint32_t words, size, dtype, split;
};

constexpr std::uint32_t kNobody = 0xFFFFFFFF;

}  // namespace

std::size_t quantize(Gpu& gpu, const QuantizeArgs& args) {
  const std::lock_guard lock(gpu.mutex());
  const RowBlocks rows = blocks_of(args.rows, args.columns, args.block_size, args.dtype);
  if (rows.count() == 0) return kNone;
  const PassBuffers pass(gpu, rows);
  const Buffer upload = gpu.memory().buffer(pass.element_bytes, Place::upload);
  const Buffer download = gpu.memory().buffer(pass.code_bytes + pass.scale_bytes + 4, Place::download);
  const Buffer refused = gpu.memory().buffer(4, Place::device);
  QuantizeArguments arguments = arguments_of(args);
  std::size_t bad = kNone;

  const auto record = [&](Recording& recording, std::uint32_t blocks) {
    arguments.blocks = blocks;
    recording.copy(upload, pass.elements, pass.element_bytes);
    recording.fill(refused, kNobody);
    recording.barrier();
    recording.dispatch(Shader::quantize, 0, {{pass.elements}, {pass.codes}, {pass.scales}, {refused}},
                       arguments,
                       static_cast<std::uint32_t>((blocks + kWorkgroupBlocks - 1) / kWorkgroupBlocks));
    recording.barrier();
    recording.copy(pass.codes, download, pass.code_bytes);
    recording.copy(pass.scales, download, pass.scale_bytes, 0, pass.code_bytes);
    recording.copy(refused, download, 4, 0, pass.code_bytes + pass.scale_bytes);
    recording.barrier();
  };
  for_each_pass(
      gpu, rows.count(), pass.blocks, record,
      [&](std::size_t first, std::size_t count, Recording& recording) {
        const auto* const from = static_cast<const std::byte*>(args.x);
        rows.for_each_run(first, count,
                          [&](std::size_t at, std::size_t to, std::size_t bytes, std::size_t zeros) {
                            std::memcpy(upload.mapped<std::byte>(to), from + at, bytes);
                            std::memset(upload.mapped<std::byte>(to + bytes), 0, zeros);
                          });
        recording.run();
        const std::uint32_t found = *download.mapped<std::uint32_t>(pass.code_bytes + pass.scale_bytes);
        if (found != kNobody) {
          bad = rows.element(first + found / rows.size(), found % rows.size());
          return false;
        }
        std::memcpy(args.codes + first * rows.size() / 2, download.mapped<std::byte>(),
                    count * rows.size() / 2);
        std::memcpy(args.scales + first, download.mapped<std::byte>(pass.code_bytes), count);
        return true;
      });
  return bad;
}

void dequantize(Gpu& gpu, const DequantizeArgs& args) {
  const std::lock_guard lock(gpu.mutex());
  const RowBlocks rows = blocks_of(args.rows, args.columns, args.block_size, args.dtype);
  if (rows.count() == 0) return;
  const PassBuffers pass(gpu, rows);
  const Buffer upload = gpu.memory().buffer(pass.code_bytes + pass.scale_bytes, Place::upload);
  const Buffer download = gpu.memory().buffer(pass.element_bytes, Place::download);

  const auto record = [&](Recording& recording, std::uint32_t blocks) {
    const std::uint32_t words = blocks * static_cast<std::uint32_t>(args.block_size) / 8;
    const DequantizeArguments arguments = {words, static_cast<std::uint32_t>(args.block_size),
                                           number_of(args.dtype), args.order == NibbleOrder::split16};
    recording.copy(upload, pass.codes, pass.code_bytes);
    recording.copy(upload, pass.scales, pass.scale_bytes, pass.code_bytes);
    recording.barrier();
    recording.dispatch(Shader::dequantize, 0, {{pass.codes}, {pass.scales}, {pass.elements}}, arguments,
                       (words + 63) / 64);
    recording.barrier();
    recording.copy(pass.elements, download, pass.element_bytes);
    recording.barrier();
  };
  for_each_pass(gpu, rows.count(), pass.blocks, record,
                [&](std::size_t first, std::size_t count, Recording& recording) {
                  std::memcpy(upload.mapped<std::byte>(), args.codes + first * rows.size() / 2,
                              count * rows.size() / 2);
                  std::memcpy(upload.mapped<std::byte>(pass.code_bytes), args.scales + first, count);
                  recording.run();
                  auto* const to = static_cast<std::byte*>(args.out);
                  rows.for_each_run(first, count,
                                    [&](std::size_t at, std::size_t from, std::size_t bytes, std::size_t) {
                                      std::memcpy(to + at, download.mapped<std::byte>(from), bytes);
                                    });
                  return true;
                });
}

}  // namespace mxfp4::kernel::vulkan
