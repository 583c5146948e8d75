// GGUF, the container of llama.cpp: metadata, descriptions of tensors, aligned data; all little-endian.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
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

/// Numbers of the types that this library reads the elements of.
inline constexpr std::uint32_t kF32 = 0, kF16 = 1, kQ8_0 = 8, kBf16 = 30, kMxfp4 = 39;

/// The type of that number, or null.
const Type* find_type(std::uint32_t number) noexcept;

/// Types of metadata, by their numbers in files.
enum class ValueType : std::uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, text, array, u64, i64, f64 };

/// "u32", "text", ...
const char* name_of(ValueType type) noexcept;

struct Array;

/// A value of the metadata as the file encodes it.
struct Value {
  ValueType type = ValueType::u8;
  std::span<const std::byte> bytes;  ///< what stands behind its type; need not be aligned

  // Nothing for a value of another type or sign.
  std::optional<std::string_view> text() const noexcept;
  std::optional<bool> boolean() const noexcept;
  std::optional<std::int64_t> integer() const noexcept;  ///< of every type of integer, up to 2^63 - 1
  std::optional<double> number() const noexcept;         ///< of f32, f64 and what integer() knows
  std::optional<Array> array() const noexcept;
};

/// Elements of one type, arrays included.
struct Array {
  ValueType element = ValueType::u8;
  std::uint64_t count = 0;
  std::span<const std::byte> bytes;

  std::vector<Value> elements() const;  ///< Throws Error corrupt_file if the file has been changed since
};

/// A value on one line, for people: "32", "'yarn'", "[201088 x text]".
std::string shown(const Value& value);

struct Pair {
  std::string key;
  Value value;
};

/// The value under that key, or null.
const Value* find_value(std::span<const Pair> metadata, std::string_view key) noexcept;

struct Tensor {
  std::string name;
  const Type* type = nullptr;
  Shape shape;                       ///< outermost dimension first, the reverse of the file's order
  std::span<const std::byte> bytes;  ///< in the mapped file; need not be aligned
};

struct File {
  MappedFile map;
  std::uint32_t version = 0;
  std::uint64_t alignment = 0;  ///< of the data and of every tensor in it
  std::vector<Pair> metadata;   ///< in the order of the file
  std::vector<Tensor> tensors;  ///< in the order in which the file describes them

  const Value* value(std::string_view key) const noexcept { return find_value(metadata, key); }
  /// The tensor of that name, or null.
  const Tensor* find(std::string_view name) const noexcept;
};

/// Whether the bytes begin as a GGUF file does.
bool is_gguf(std::span<const std::byte> bytes) noexcept;

/// Maps and checks a file of version 2 or 3; only what describes the tensors is read. Throws Error io;
/// unsupported for another version, for big-endian files, and for a type of tensor or metadata that is
/// unknown; corrupt_file with the place and the values for everything that cannot be right: sizes beyond the
/// file, names that stand twice, tensors that overlap or are not aligned. Between tensors there may be gaps.
File open(const std::filesystem::path& path);

}  // namespace mxfp4::gguf
