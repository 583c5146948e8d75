// safetensors: u64 header length, JSON header, data.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "mxfp4/container/tensor_file.h"

namespace mxfp4::safetensors {

/// Longest header that is read or written, in bytes.
inline constexpr std::uint64_t kMaxHeader = 100'000'000;

/// Maps and checks a file; only its header is read. Throws Error io, or corrupt_file with the rule that is
/// broken, the tensor and the values: sizes that do not fit, holes, overlaps, unknown dtypes, names or fields
/// that stand twice, metadata that are not strings.
///
/// What the format's description forbids is refused even where the safetensors package accepts it: with a
/// name that stands twice, a space before the header or metadata that are null, another reader may find
/// another model in the same file. Fields of an entry that the format does not know are skipped, as it does.
TensorFilePtr open(const std::filesystem::path& path);

/// What a file to be written holds.
struct TensorSpec {
  std::string name;
  Dtype dtype = Dtype::u8;
  Shape shape;

  std::uint64_t bytes() const;  ///< Throws Error invalid_argument if dtype and shape fill no whole bytes
};

/// A file laid out but not written: its header, and where each tensor's data goes.
struct Layout {
  std::string head;  ///< the first bytes of the file: length and header, padded to 8
  std::vector<std::uint64_t>
      offsets;             ///< from the start of the file, one per spec, in the order of the specs
  std::uint64_t size = 0;  ///< of the whole file
};

/// Lays out a file as the safetensors package does: data by dtype from the widest on, then by name, so that
/// every tensor is aligned. Throws Error invalid_argument for a name that stands twice, that is the
/// metadata's or no UTF-8, for a header above kMaxHeader, and for a tensor whose bytes() throws.
Layout layout(std::span<const TensorSpec> specs, const std::map<std::string, std::string>& metadata);

}  // namespace mxfp4::safetensors
