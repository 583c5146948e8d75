// Naming conventions of quantised checkpoints: a table, one row each.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace mxfp4 {

/// Key in the metadata of a `linear` file: a JSON array of the names, without suffix, of quantised weights
/// whose dense names do not end in ".weight".
inline constexpr const char* kBareNamesKey = "mxfp4.bare_names";

/// How codes are shaped.
enum class CodeShape : std::uint8_t {
  bytes,   ///< U8 [..., K/2]
  blocks,  ///< U8 [..., K/32, 16]
};

/// How a project stores quantised weights.
struct Convention {
  const char* name;          ///< "gpt-oss"
  const char* codes_suffix;  ///< put after the module's path: "_blocks", ".weight_packed"
  const char* scales_suffix;
  CodeShape code_shape;
  /// Experts stacked in one tensor [E, N, K] are stored as they are; otherwise one matrix per expert is
  /// written.
  bool stacks_experts;
  /// The object for "quantization_config" in config.json, given the modules of Linear layers and the stacked
  /// experts that are left alone, by Weight::module(); null if it has none.
  std::string (*quantization_config)(std::span<const std::string> left_alone);
  const char* description;
};

/// Every convention that is read and written.
std::span<const Convention> conventions() noexcept;

/// The convention of that name, or null.
const Convention* find_convention(std::string_view name) noexcept;

}  // namespace mxfp4
