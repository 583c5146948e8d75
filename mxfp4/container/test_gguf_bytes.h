// GGUF files put together byte by byte, for tests.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace mxfp4::gguf {

/// A text that numbers and strings are appended to as GGUF has them.
class Bytes {
 public:
  template <class Number>
  Bytes& number(Number value) {
    const std::size_t at = text.size();
    text.resize(at + sizeof value);
    std::memcpy(text.data() + at, &value, sizeof value);
    return *this;
  }
  Bytes& u32(std::uint32_t value) { return number(value); }
  Bytes& u64(std::uint64_t value) { return number(value); }
  Bytes& string(std::string_view value) {
    u64(value.size());
    text += value;
    return *this;
  }
  /// Magic, version, and how many tensors and metadata follow.
  Bytes& begin(std::uint64_t tensors, std::uint64_t metadata, std::uint32_t version = 3) {
    text += "GGUF";
    return u32(version).u64(tensors).u64(metadata);
  }
  /// A tensor of two dimensions, `inner` elements to a row.
  Bytes& tensor(std::string_view name, std::uint64_t inner, std::uint64_t outer, std::uint32_t type,
                std::uint64_t offset) {
    return string(name).u32(2).u64(inner).u64(outer).u32(type).u64(offset);
  }
  Bytes& align(std::size_t to = 32) {
    text.resize((text.size() + to - 1) / to * to);
    return *this;
  }

  std::string text;
};

}  // namespace mxfp4::gguf
