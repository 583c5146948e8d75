// GGUF files to be written: everything before the data, and where each tensor's data goes.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mxfp4/container/gguf.h"

namespace mxfp4::gguf {

/// Metadata to be written, in the order in which they are added. Keys must be new: layout() looks.
class Metadata {
 public:
  Metadata& add(std::string_view key, std::string_view text);
  Metadata& add(std::string_view key, const char* text) { return add(key, std::string_view(text)); }
  Metadata& add(std::string_view key, std::uint32_t value);
  Metadata& add(std::string_view key, float value);
  Metadata& add(std::string_view key, bool value);
  Metadata& add(std::string_view key, std::span<const std::string> texts);
  Metadata& add(std::string_view key, std::span<const std::int32_t> values);
  /// A value of any type as another file has it.
  Metadata& add(std::string_view key, const Value& value);

  const std::vector<std::string>& keys() const noexcept { return keys_; }
  const std::string& bytes() const noexcept { return bytes_; }  ///< as they stand in a file

 private:
  void begin(std::string_view key, ValueType type);

  std::vector<std::string> keys_;
  std::string bytes_;
};

struct TensorSpec {
  std::string name;
  std::uint32_t type = kF32;
  Shape shape;  ///< outermost dimension first

  /// Throws Error invalid_argument if the type is unknown, or if it cannot have that shape.
  std::uint64_t bytes() const;
};

struct Layout {
  std::string head;                    ///< the first bytes of the file, padded to where the data begin
  std::vector<std::uint64_t> offsets;  ///< from the start of the file, one per spec, in their order
  std::uint64_t size = 0;              ///< of the whole file; what no tensor fills is zeros
};

/// Lays out a file of version 3 as llama.cpp wants it: data in the order of the specs without gaps, each
/// tensor, the last one too, padded to 32 bytes. Throws Error invalid_argument for a name or key that stands
/// twice, names of more than 63 bytes, metadata that name another alignment, and for a tensor whose bytes()
/// throws.
Layout layout(std::span<const TensorSpec> specs, const Metadata& metadata);

}  // namespace mxfp4::gguf
