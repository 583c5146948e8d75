#include <algorithm>

#include "mxfp4/job/block_scan_internal.h"
#include "mxfp4/job/preflight_internal.h"

namespace mxfp4::job {
namespace {

constexpr std::int64_t kStretch = 1 << 17;  // blocks
constexpr std::size_t kBlockBytes = kBlockSize / 2 + 1;

/// The same blocks, one to a row.
StoredBlocks flat(const StoredBlocks& blocks) {
  StoredBlocks result = blocks;
  result.shape = {blocks.blocks(), kBlockSize};
  return result;
}

void release(const MappedFile* map, const std::uint8_t* first, std::int64_t bytes) {
  if (map == nullptr) return;
  const auto* const begin = reinterpret_cast<const std::byte*>(first);
  const std::span<const std::byte> all = map->bytes();
  const auto most = all.data() + all.size() - begin;  // behind the last codes of GGUF lies no further scale
  map->done_with({begin, static_cast<std::size_t>(std::min<std::ptrdiff_t>(bytes, most))});
}

}  // namespace

std::uint64_t block_bytes(const std::vector<const Weight*>& weights) noexcept {
  std::uint64_t bytes = 0;
  for (const Weight* const weight : weights)
    bytes += static_cast<std::uint64_t>(weight->quantized.blocks()) * kBlockBytes;
  return bytes;
}

void scan_blocks(const ModelFiles& files, const std::vector<const Weight*>& weights, Pass& pass,
                 const std::function<void(const BlockStretch&)>& look) {
  struct Stretch {
    std::size_t weight;
    std::int64_t first, count;
  };
  std::vector<Stretch> stretches;
  std::int64_t scratch_blocks = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const StoredBlocks& blocks = weights[i]->quantized;
    for (std::int64_t first = 0; first < blocks.blocks(); first += kStretch) {
      stretches.push_back({i, first, std::min(kStretch, blocks.blocks() - first)});
      if (!blocks.is_plain()) scratch_blocks = std::max(scratch_blocks, stretches.back().count);
    }
  }
  std::vector<std::vector<std::byte>> scratch(static_cast<std::size_t>(pass.threads()));
  pass.run(stretches.size(), [&](int worker, std::size_t index) -> std::uint64_t {
    std::vector<std::byte>& own = scratch[static_cast<std::size_t>(worker)];
    if (own.empty()) own.resize(StoredBlocks::scratch_bytes(scratch_blocks * kBlockSize));
    const auto& [number, first, count] = stretches[index];
    const Weight& weight = *weights[number];
    const StoredBlocks& blocks = weight.quantized;
    const Mxfp4View view = flat(blocks).rows(first, count, 1, 0, kBlockSize, own.data());
    const auto size = static_cast<std::size_t>(count);
    look({number, static_cast<std::uint64_t>(first),
          std::as_bytes(std::span(view.codes, size * kBlockSize / 2)),
          std::as_bytes(std::span(view.scales, size))});
    release(map_of(files, *weight.stored), blocks.codes + first * blocks.code_pitch,
            count * blocks.code_pitch);
    release(map_of(files, *weight.scales), blocks.scales + first * blocks.scale_pitch,
            count * blocks.scale_pitch);
    return size * kBlockBytes;
  });
}

}  // namespace mxfp4::job
