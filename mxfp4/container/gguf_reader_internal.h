// Values read one after the other from a GGUF file, never past the end.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "mxfp4/base/byte_reader_internal.h"
#include "mxfp4/container/gguf.h"

namespace mxfp4::gguf {

inline constexpr std::string_view kMagic = "GGUF";
inline constexpr std::string_view kAlignmentKey = "general.alignment";
inline constexpr std::uint64_t kDefaultAlignment = 32;
inline constexpr std::uint32_t kMaxRank = 4;

class Reader : public ByteReader {
 public:
  Reader(std::span<const std::byte> bytes, std::string_view path) : ByteReader(bytes, path, "file") {}

  std::string_view text(std::string_view what, std::uint64_t most) {
    const auto size = number<std::uint64_t>(what);
    if (size > most) corrupt("{} of {} bytes", what, size);
    const std::span<const std::byte> bytes = take(size, what);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  /// A number of things, each of which takes at least `least` bytes.
  std::uint64_t count(std::string_view what, std::uint64_t least) {
    const auto value = number<std::uint64_t>(what);
    if (value > left() / least) corrupt("{} is {}, but {} bytes follow", what, value, left());
    return value;
  }

  /// A value of the metadata under `key`, whose type has been read.
  Value value(ValueType type, std::string_view key, int depth = 0);
  ValueType value_type(std::string_view key);
};

/// Bytes of a tensor of at least one dimension; nothing if rows are no whole blocks, or if its elements or
/// bytes cannot be counted.
std::optional<std::uint64_t> size_of(const Type& type, const Shape& shape) noexcept;

/// A name or a key as it stands in a message: on one line, and shortened.
std::string shown(std::string_view name);

}  // namespace mxfp4::gguf
