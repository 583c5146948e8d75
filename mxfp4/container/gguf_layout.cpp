#include "mxfp4/container/gguf_layout.h"

#include <limits>
#include <set>

#include "mxfp4/container/gguf_reader_internal.h"

namespace mxfp4::gguf {
namespace {

constexpr std::uint32_t kVersion = 3;
constexpr std::size_t kMaxName = 63;  // ggml keeps names in 64 bytes, the last of them zero
constexpr std::uint64_t kMaxBytes = std::numeric_limits<std::int64_t>::max();

template <class Number>
void put(std::string& bytes, Number value) {
  bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void put_text(std::string& bytes, std::string_view text) {
  put<std::uint64_t>(bytes, text.size());
  bytes += text;
}

std::uint64_t padded(std::uint64_t size) {
  return (size + kDefaultAlignment - 1) / kDefaultAlignment * kDefaultAlignment;
}

void check_new(std::set<std::string_view>& names, std::string_view name, const char* what) {
  if (names.insert(name).second) return;
  fail(ErrorCode::invalid_argument, "{} '{}' stands twice in a GGUF file to be written", what, shown(name));
}

}  // namespace

void Metadata::begin(std::string_view key, ValueType type) {
  keys_.emplace_back(key);
  put_text(bytes_, key);
  put(bytes_, static_cast<std::uint32_t>(type));
}

Metadata& Metadata::add(std::string_view key, std::string_view text) {
  begin(key, ValueType::text);
  put_text(bytes_, text);
  return *this;
}

Metadata& Metadata::add(std::string_view key, std::uint32_t value) {
  begin(key, ValueType::u32);
  put(bytes_, value);
  return *this;
}

Metadata& Metadata::add(std::string_view key, float value) {
  begin(key, ValueType::f32);
  put(bytes_, value);
  return *this;
}

Metadata& Metadata::add(std::string_view key, bool value) {
  begin(key, ValueType::boolean);
  put(bytes_, static_cast<std::uint8_t>(value));
  return *this;
}

Metadata& Metadata::add(std::string_view key, std::span<const std::string> texts) {
  begin(key, ValueType::array);
  put(bytes_, static_cast<std::uint32_t>(ValueType::text));
  put<std::uint64_t>(bytes_, texts.size());
  for (const std::string& text : texts) put_text(bytes_, text);
  return *this;
}

Metadata& Metadata::add(std::string_view key, std::span<const std::int32_t> values) {
  begin(key, ValueType::array);
  put(bytes_, static_cast<std::uint32_t>(ValueType::i32));
  put<std::uint64_t>(bytes_, values.size());
  for (const std::int32_t value : values) put(bytes_, value);
  return *this;
}

Metadata& Metadata::add(std::string_view key, const Value& value) {
  begin(key, value.type);
  bytes_.append(reinterpret_cast<const char*>(value.bytes.data()), value.bytes.size());
  return *this;
}

std::uint64_t TensorSpec::bytes() const {
  const Type* const found = find_type(type);
  if (found == nullptr)
    fail(ErrorCode::invalid_argument, "tensor '{}': GGUF has no type {}", shown(name), type);
  const std::optional<std::uint64_t> size =
      shape.empty() || shape.size() > kMaxRank ? std::nullopt : size_of(*found, shape);
  if (!size) {
    fail(ErrorCode::invalid_argument,
         "tensor '{}' of shape {} cannot be {} in GGUF, which has 1 to {} dimensions and"
         " whole blocks of {} elements",
         shown(name), to_string(shape), found->name, kMaxRank, found->elements);
  }
  return *size;
}

Layout layout(std::span<const TensorSpec> specs, const Metadata& metadata) {
  std::set<std::string_view> names, keys;
  for (const std::string& key : metadata.keys()) {
    check_new(keys, key, "metadata");
    if (key == kAlignmentKey)
      fail(ErrorCode::invalid_argument, "'{}' cannot be set: it is {}", key, kDefaultAlignment);
  }
  Layout result;
  result.head = kMagic;
  put(result.head, kVersion);
  put<std::uint64_t>(result.head, specs.size());
  put<std::uint64_t>(result.head, metadata.keys().size());
  result.head += metadata.bytes();
  std::uint64_t end = 0;
  for (const TensorSpec& spec : specs) {
    check_new(names, spec.name, "tensor");
    if (spec.name.size() > kMaxName) {
      fail(ErrorCode::invalid_argument, "tensor '{}': its name has {} bytes, and GGUF's readers take {}",
           shown(spec.name), spec.name.size(), kMaxName);
    }
    const std::uint64_t size = spec.bytes();
    put_text(result.head, spec.name);
    put(result.head, static_cast<std::uint32_t>(spec.shape.size()));
    for (std::size_t d = spec.shape.size(); d-- > 0;)
      put(result.head, static_cast<std::uint64_t>(spec.shape[d]));
    put(result.head, spec.type);
    put(result.head, end);
    result.offsets.push_back(end);
    if (size > kMaxBytes - end) {
      fail(ErrorCode::invalid_argument, "the tensors of a file to be written take more than {} bytes",
           kMaxBytes);
    }
    end = padded(end + size);
  }
  result.head.resize(padded(result.head.size()), '\0');
  for (std::uint64_t& offset : result.offsets) offset += result.head.size();
  result.size = result.head.size() + end;
  return result;
}

}  // namespace mxfp4::gguf
