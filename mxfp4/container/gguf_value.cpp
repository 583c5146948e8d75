#include <limits>

#include "mxfp4/container/gguf_reader_internal.h"

namespace mxfp4::gguf {
namespace {

constexpr int kMaxDepth = 8;  // of arrays in arrays
constexpr std::uint64_t kSmallestText = 8, kSmallestArray = 12;

struct Kind {
  const char* name;
  std::uint64_t bytes;  // that one takes at least; exactly, unless it is a text or an array
};
constexpr Kind kKinds[] = {{"u8", 1},
                           {"i8", 1},
                           {"u16", 2},
                           {"i16", 2},
                           {"u32", 4},
                           {"i32", 4},
                           {"f32", 4},
                           {"bool", 1},
                           {"text", kSmallestText},
                           {"array", kSmallestArray},
                           {"u64", 8},
                           {"i64", 8},
                           {"f64", 8}};

const Kind& kind(ValueType type) {
  return kKinds[static_cast<std::uint32_t>(type)];
}

template <class Number>
Number load(std::span<const std::byte> bytes) noexcept {
  Number number;
  std::memcpy(&number, bytes.data(), sizeof number);
  return number;
}

}  // namespace

const char* name_of(ValueType type) noexcept {
  return kind(type).name;
}

ValueType Reader::value_type(std::string_view key) {
  const auto type = number<std::uint32_t>(key);
  if (type >= std::size(kKinds)) unsupported("'{}' has type {}, which is unknown", shown(key), type);
  return static_cast<ValueType>(type);
}

Value Reader::value(ValueType type, std::string_view key, int depth) {
  const std::uint64_t begin = position();
  switch (type) {
    case ValueType::text:
      text(key, std::numeric_limits<std::uint64_t>::max());
      break;
    case ValueType::boolean: {
      const auto value = number<std::uint8_t>(key);
      if (value > 1) corrupt("'{}' is {}, neither true nor false", shown(key), value);
      break;
    }
    case ValueType::array: {
      if (depth == kMaxDepth) unsupported("'{}' holds arrays more than {} deep", shown(key), kMaxDepth);
      const ValueType element = value_type(key);
      const std::uint64_t elements = count(key, kind(element).bytes);
      if (element == ValueType::text || element == ValueType::array || element == ValueType::boolean) {
        for (std::uint64_t i = 0; i < elements; ++i) value(element, key, depth + 1);
      } else {
        take(elements * kind(element).bytes, key);
      }
      break;
    }
    default:
      take(kind(type).bytes, key);
  }
  return {type, since(begin)};
}

std::optional<std::string_view> Value::text() const noexcept {
  if (type != ValueType::text) return std::nullopt;
  return std::string_view(reinterpret_cast<const char*>(bytes.data()) + kSmallestText,
                          bytes.size() - kSmallestText);
}

std::optional<bool> Value::boolean() const noexcept {
  if (type != ValueType::boolean) return std::nullopt;
  return load<std::uint8_t>(bytes) != 0;
}

std::optional<std::int64_t> Value::integer() const noexcept {
  switch (type) {
    case ValueType::u8:
      return load<std::uint8_t>(bytes);
    case ValueType::i8:
      return load<std::int8_t>(bytes);
    case ValueType::u16:
      return load<std::uint16_t>(bytes);
    case ValueType::i16:
      return load<std::int16_t>(bytes);
    case ValueType::u32:
      return load<std::uint32_t>(bytes);
    case ValueType::i32:
      return load<std::int32_t>(bytes);
    case ValueType::i64:
      return load<std::int64_t>(bytes);
    case ValueType::u64: {
      const auto value = load<std::uint64_t>(bytes);
      if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) return std::nullopt;
      return static_cast<std::int64_t>(value);
    }
    default:
      return std::nullopt;
  }
}

std::optional<double> Value::number() const noexcept {
  if (type == ValueType::f32) return load<float>(bytes);
  if (type == ValueType::f64) return load<double>(bytes);
  if (const std::optional<std::int64_t> value = integer()) return static_cast<double>(*value);
  return std::nullopt;
}

std::optional<Array> Value::array() const noexcept {
  if (type != ValueType::array) return std::nullopt;
  return Array{static_cast<ValueType>(load<std::uint32_t>(bytes)), load<std::uint64_t>(bytes.subspan(4)),
               bytes.subspan(kSmallestArray)};
}

std::vector<Value> Array::elements() const {
  if (static_cast<std::uint32_t>(element) >= std::size(kKinds) ||
      count > bytes.size() / kind(element).bytes) {
    fail(ErrorCode::corrupt_file, "GGUF metadata have changed while they were read");
  }
  Reader reader(bytes, "GGUF metadata");
  std::vector<Value> values;
  values.reserve(count);
  for (std::uint64_t i = 0; i < count; ++i) values.push_back(reader.value(element, "an element"));
  return values;
}

std::string shown(std::string_view name) {
  constexpr std::size_t kMost = 200;
  const std::string quoted = fmt::format("{:?}", name.substr(0, kMost));
  return quoted.substr(1, quoted.size() - 2) + (name.size() > kMost ? "..." : "");
}

std::string shown(const Value& value) {
  if (const auto text = value.text()) return "'" + shown(*text) + "'";
  if (const auto boolean = value.boolean()) return *boolean ? "true" : "false";
  if (const auto integer = value.integer()) return std::to_string(*integer);
  if (value.type == ValueType::f32) return fmt::format("{}", load<float>(value.bytes));
  if (const auto number = value.number()) return fmt::format("{}", *number);
  if (const auto array = value.array())
    return fmt::format("[{} x {}]", array->count, name_of(array->element));
  return fmt::format("{}", load<std::uint64_t>(value.bytes));
}

}  // namespace mxfp4::gguf
