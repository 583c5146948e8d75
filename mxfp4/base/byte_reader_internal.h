// Values read one after the other from bytes in memory, never past the end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <utility>

#include "mxfp4/base/fail_internal.h"

namespace mxfp4 {

/// Numbers are little-endian, as on every machine that this library runs on. Everything throws Error
/// corrupt_file, beginning with `where` and the byte that reading has come to.
class ByteReader {
 public:
  /// `whole` is what the bytes are, for messages: "file".
  ByteReader(std::span<const std::byte> bytes, std::string_view where, const char* whole)
      : bytes_(bytes), where_(where), whole_(whole) {}

  std::uint64_t position() const noexcept { return position_; }
  std::uint64_t left() const noexcept { return bytes_.size() - position_; }

  /// What was read since position() was `begin`.
  std::span<const std::byte> since(std::uint64_t begin) const noexcept {
    return bytes_.subspan(begin, position_ - begin);
  }

  /// The next `size` bytes, which are `what`.
  std::span<const std::byte> take(std::uint64_t size, std::string_view what) {
    if (size > left()) corrupt("{} takes {} bytes, but the {} ends after {}", what, size, whole_, left());
    position_ += size;
    return bytes_.subspan(position_ - size, size);
  }

  template <class Number>
  Number number(std::string_view what) {
    Number value;
    std::memcpy(&value, take(sizeof value, what).data(), sizeof value);
    return value;
  }

  template <class... Args>
  [[noreturn]] void corrupt(fmt::format_string<Args...> format, Args&&... args) const {
    refuse(ErrorCode::corrupt_file, fmt::format(format, std::forward<Args>(args)...));
  }
  template <class... Args>
  [[noreturn]] void unsupported(fmt::format_string<Args...> format, Args&&... args) const {
    refuse(ErrorCode::unsupported, fmt::format(format, std::forward<Args>(args)...));
  }

 private:
  [[noreturn]] void refuse(ErrorCode code, std::string_view message) const {
    fail(code, "{}: at byte {}: {}", where_, position_, message);
  }

  std::span<const std::byte> bytes_;
  std::string_view where_;
  const char* whole_;
  std::uint64_t position_ = 0;
};

}  // namespace mxfp4
