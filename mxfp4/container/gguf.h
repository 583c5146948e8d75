// GGUF, the container of llama.cpp: metadata, descriptions of tensors, aligned data; all little-endian.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "mxfp4/base/file.h"
#include "mxfp4/tensor/shape.h"

namespace mxfp4::gguf {

/// How a tensor's elements are stored: in blocks of `elements` that take `bytes`.
struct Type {
  std::uint32_t number;
  const char* name;
  int elements, bytes;
};

/// The type of that number, or null.
const Type* find_type(std::uint32_t number) noexcept;

/// A value of the metadata. Integers and floats are widened to 64 bits.
using Scalar = std::variant<bool, std::int64_t, std::uint64_t, double, std::string>;
using Value = std::variant<Scalar, std::vector<Scalar>>;

struct Tensor {
  std::string name;
  const Type* type = nullptr;
  Shape shape;                       ///< outermost dimension first, the reverse of the file's order
  std::span<const std::byte> bytes;  ///< in the mapped file; need not be aligned
};

struct File {
  MappedFile map;
  std::map<std::string, Value, std::less<>> metadata;
  std::vector<Tensor> tensors;  ///< in the order in which the file describes them

  /// The tensor of that name, or null.
  const Tensor* find(std::string_view name) const noexcept;
};

using FilePtr = std::shared_ptr<const File>;

/// Whether the bytes begin as a GGUF file does.
bool is_gguf(std::span<const std::byte> bytes) noexcept;

/// Maps and checks a file of version 2 or 3; only what describes the tensors is read. Throws Error io;
/// unsupported for another version and for a type of tensor or metadata that is unknown; corrupt_file with
/// the place and the values for everything that cannot be right: sizes beyond the file, names that stand
/// twice, tensors that overlap or are not aligned.
FilePtr open(const std::filesystem::path& path);

}  // namespace mxfp4::gguf
