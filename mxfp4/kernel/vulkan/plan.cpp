#include "mxfp4/kernel/vulkan/plan.h"

#include <algorithm>
#include <bit>

namespace mxfp4::kernel::vulkan {

std::size_t blocks_per_pass(std::size_t block_size, std::size_t bytes_each, std::uint64_t most_bytes) {
  const std::uint64_t blocks = most_bytes / (block_size * bytes_each);
  return std::max<std::size_t>(static_cast<std::size_t>(blocks / kWorkgroupBlocks), 1) * kWorkgroupBlocks;
}

std::vector<WeightRange> split_weight(std::size_t experts, std::size_t rows, std::size_t row_bytes,
                                      std::uint64_t most_bytes, std::size_t most_rows) {
  if (experts == 0 || rows == 0 || row_bytes > most_bytes) return {};
  const auto fitting = static_cast<std::size_t>(most_bytes / row_bytes);  // rows
  std::vector<WeightRange> ranges;
  if (fitting >= rows && most_rows >= rows) {
    const std::size_t step = fitting / rows;
    for (std::size_t e = 0; e < experts; e += step)
      ranges.push_back({e, std::min(step, experts - e), 0, rows});
    return ranges;
  }
  const std::size_t step = std::min(fitting, most_rows);
  for (std::size_t e = 0; e < experts; ++e) {
    for (std::size_t row = 0; row < rows; row += step) {
      ranges.push_back({e, 1, row, std::min(step, rows - row)});
    }
  }
  return ranges;
}

std::size_t most_tiles(std::size_t slots, std::size_t experts, std::size_t tile) {
  return std::max<std::size_t>(std::min(slots, slots / tile + std::min(experts, slots)), 1);
}

ListLayout::ListLayout(std::size_t slot_count, std::size_t experts, std::size_t tiles) noexcept
    : slots(kListTiles + 3 * tiles),
      experts_of(slots + slot_count),
      factors(experts_of + slot_count),
      routes(factors + slot_count),
      counts(routes + slot_count),
      words(counts + experts) {}

std::size_t pass_tokens(const LayerShape& shape, std::size_t top_k, std::uint64_t most_bytes,
                        std::size_t most_workgroups) {
  constexpr std::size_t kMost = 1024;
  for (std::size_t tokens = kMost; tokens > 0; tokens /= 2) {
    const std::size_t slots = tokens * top_k;
    const std::size_t tiles = most_tiles(slots, shape.experts, 1);
    const std::size_t rows = shape.rows(tokens, slots);
    const std::size_t in = 4 + 2 * slots + 3 + rows * shape.hidden;
    const std::size_t logits = tokens * shape.experts;
    const std::size_t widest = std::max({shape.first, shape.middle, shape.outputs});
    const std::size_t words = std::max(
        {in, logits, slots * widest, rows * shape.outputs, ListLayout(slots, shape.experts, tiles).words});
    if (words * 4 <= most_bytes && std::max(slots, tiles) <= most_workgroups) return tokens;
  }
  return 0;
}

}  // namespace mxfp4::kernel::vulkan
