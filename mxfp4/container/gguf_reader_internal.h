// Values read one after the other from a GGUF file, never past the end.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/container/gguf.h"

namespace mxfp4::gguf {

inline constexpr std::string_view kMagic = "GGUF";
inline constexpr std::string_view kAlignmentKey = "general.alignment";
inline constexpr std::uint64_t kDefaultAlignment = 32;
inline constexpr std::uint32_t kMaxRank = 4;

class Reader {
 public:
  Reader(std::span<const std::byte> bytes, std::string_view path) : bytes_(bytes), path_(path) {}

  std::uint64_t position() const noexcept { return position_; }
  std::uint64_t left() const noexcept { return bytes_.size() - position_; }

  std::span<const std::byte> take(std::uint64_t size, std::string_view what) {
    if (size > left()) corrupt("{} takes {} bytes, but the file ends after {}", what, size, left());
    position_ += size;
    return bytes_.subspan(position_ - size, size);
  }

  template <class Number>
  Number number(std::string_view what) {
    Number value;
    std::memcpy(&value, take(sizeof value, what).data(), sizeof value);
    return value;
  }

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

  template <class... Args>
  [[noreturn]] void corrupt(fmt::format_string<Args...> format, Args&&... args) const {
    fail(ErrorCode::corrupt_file, "{}: at byte {}: {}", path_, position_,
         fmt::format(format, std::forward<Args>(args)...));
  }
  template <class... Args>
  [[noreturn]] void unsupported(fmt::format_string<Args...> format, Args&&... args) const {
    fail(ErrorCode::unsupported, "{}: at byte {}: {}", path_, position_,
         fmt::format(format, std::forward<Args>(args)...));
  }

 private:
  std::span<const std::byte> bytes_;
  std::string_view path_;
  std::uint64_t position_ = 0;
};

/// Bytes of a tensor of at least one dimension; nothing if rows are no whole blocks, or if its elements or
/// bytes cannot be counted.
std::optional<std::uint64_t> size_of(const Type& type, const Shape& shape) noexcept;

/// A name or a key as it stands in a message: on one line, and shortened.
std::string shown(std::string_view name);

}  // namespace mxfp4::gguf
