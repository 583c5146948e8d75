// How work is cut for a device: functions of sizes and limits alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace mxfp4::kernel::vulkan {

/// Blocks that one workgroup quantises.
inline constexpr std::size_t kWorkgroupBlocks = 64;

/// Blocks that go through the device at a time, whole workgroups: their elements, of `bytes_each`, fill no
/// more than `most_bytes`.
std::size_t blocks_per_pass(std::size_t block_size, std::size_t bytes_each, std::uint64_t most_bytes);

// --- layers ---

/// A call for more tokens runs the kernel for many.
inline constexpr std::size_t kMostDecodeTokens = 8;

/// Tokens of a tile of the kernel for many, and rows that a workgroup of each kernel computes.
inline constexpr std::size_t kPrefillTile = 32, kPrefillRows = 64, kDecodeRows = 4;

/// Blocks of a row as the device has it: in fours, for scales to be read as words.
constexpr std::size_t padded_blocks(std::size_t columns) noexcept {
  const std::size_t blocks = (columns + 31) / 32;
  return blocks == 0 ? 4 : (blocks + 3) / 4 * 4;
}

/// Weights that one binding shows: some experts as a whole, or rows of one.
struct WeightRange {
  std::size_t first_expert = 0, experts = 0, first_row = 0, rows = 0;

  friend bool operator==(const WeightRange&, const WeightRange&) = default;
};

/// As few as possible, of at most `most_bytes` of codes and, within an expert, `most_rows` rows. Empty if
/// there are no rows, or if one alone has more bytes.
std::vector<WeightRange> split_weight(std::size_t experts, std::size_t rows, std::size_t row_bytes,
                                      std::uint64_t most_bytes, std::size_t most_rows);

enum class LayerKind : std::uint8_t { linear, gather, experts };

/// What a layer computes in a pass.
struct LayerShape {
  LayerKind kind = LayerKind::linear;
  std::size_t experts = 1;
  std::size_t hidden = 0;   ///< columns of x, in whole blocks
  std::size_t first = 0;    ///< outputs of the first product
  std::size_t middle = 0;   ///< columns of the last product's input, in whole blocks, where there are two
  std::size_t outputs = 0;  ///< of a row of y
  /// Rows of y, and of x at most.
  std::size_t rows(std::size_t tokens, std::size_t slots) const noexcept {
    return kind == LayerKind::gather ? slots : tokens;
  }
};

/// Tokens of a pass at most: a power of two, for which every buffer fits `most_bytes` and every dispatch
/// `most_workgroups`. 0 if not even one token does.
std::size_t pass_tokens(const LayerShape& shape, std::size_t top_k, std::uint64_t most_bytes,
                        std::size_t most_workgroups);

/// What a router on the device can choose from, as choose.comp has it.
inline constexpr std::size_t kMostRoutedExperts = 1024, kMostGroups = 64;

/// Tiles that `slots` routes to `experts` experts can make.
std::size_t most_tiles(std::size_t slots, std::size_t experts, std::size_t tile);

/// Where the lists of lists.glsl lie, in words.
struct ListLayout {
  std::size_t slots, experts_of, factors, routes, counts, words;

  ListLayout(std::size_t slot_count, std::size_t experts, std::size_t tiles) noexcept;
};
inline constexpr std::size_t kListTiles = 4;

}  // namespace mxfp4::kernel::vulkan
