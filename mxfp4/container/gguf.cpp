#include "mxfp4/container/gguf.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <optional>

#include "mxfp4/base/fail_internal.h"

namespace mxfp4::gguf {
namespace {

constexpr Type kTypes[] = {
#define MXFP4_GGUF_TYPE(number, name, elements, bytes) {number, name, elements, bytes},
#include "mxfp4/container/gguf_types.inc"
#undef MXFP4_GGUF_TYPE
};

constexpr std::string_view kMagic = "GGUF";
constexpr const char* kAlignmentKey = "general.alignment";
constexpr std::uint64_t kDefaultAlignment = 32;
constexpr std::uint64_t kMaxAlignment = 1 << 20;
constexpr std::uint32_t kMaxRank = 4;
constexpr std::uint64_t kMaxName = 1 << 16;  // bytes of a key or of a tensor's name

// Numbers of the types of metadata.
enum ValueType : std::uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, string, array, u64, i64, f64 };

/// Reads values one after the other, never past the end.
class Reader {
 public:
  Reader(std::span<const std::byte> bytes, const std::string& path) : bytes_(bytes), path_(path) {}

  std::uint64_t position() const noexcept { return position_; }
  std::uint64_t left() const noexcept { return bytes_.size() - position_; }

  template <class Number>
  Number number(std::string_view what) {
    need(sizeof(Number), what);
    Number value;
    std::memcpy(&value, bytes_.data() + position_, sizeof value);
    position_ += sizeof value;
    return value;
  }

  std::string text(std::string_view what, std::uint64_t most) {
    const auto size = number<std::uint64_t>(what);
    if (size > most) corrupt("{} of {} bytes", what, size);
    need(size, what);
    std::string value(reinterpret_cast<const char*>(bytes_.data()) + position_, size);
    position_ += size;
    return value;
  }

  /// A number of things, each of which takes at least `least` bytes.
  std::uint64_t count(std::string_view what, std::uint64_t least) {
    const auto value = number<std::uint64_t>(what);
    if (value > left() / least) corrupt("{} is {}, but {} bytes follow", what, value, left());
    return value;
  }

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
  void need(std::uint64_t size, std::string_view what) const {
    if (size > left()) corrupt("{} takes {} bytes, but the file ends after {}", what, size, left());
  }

  std::span<const std::byte> bytes_;
  const std::string& path_;
  std::uint64_t position_ = 0;
};

Scalar read_scalar(Reader& reader, std::uint32_t type, const std::string& key) {
  switch (type) {
    case u8:
      return std::uint64_t{reader.number<std::uint8_t>(key)};
    case i8:
      return std::int64_t{reader.number<std::int8_t>(key)};
    case u16:
      return std::uint64_t{reader.number<std::uint16_t>(key)};
    case i16:
      return std::int64_t{reader.number<std::int16_t>(key)};
    case u32:
      return std::uint64_t{reader.number<std::uint32_t>(key)};
    case i32:
      return std::int64_t{reader.number<std::int32_t>(key)};
    case f32:
      return double{reader.number<float>(key)};
    case boolean: {
      const auto value = reader.number<std::uint8_t>(key);
      if (value > 1) reader.corrupt("'{}' is {}, neither true nor false", key, value);
      return value == 1;
    }
    case string:
      return reader.text(key, std::numeric_limits<std::uint64_t>::max());
    case u64:
      return reader.number<std::uint64_t>(key);
    case i64:
      return reader.number<std::int64_t>(key);
    case f64:
      return reader.number<double>(key);
    default:
      reader.unsupported("'{}' has type {}, which is unknown", key, type);
  }
}

std::uint64_t least_size(std::uint32_t type) {
  constexpr std::uint64_t kSizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 8, 12, 8, 8, 8};
  return type < std::size(kSizes) ? kSizes[type] : 1;
}

void read_metadata(Reader& reader, File& file) {
  const std::uint64_t pairs = reader.count("the number of metadata", 13);
  std::vector<std::string> keys;
  for (std::uint64_t i = 0; i < pairs; ++i) {
    std::string key = reader.text("the key of metadata", kMaxName);
    const auto type = reader.number<std::uint32_t>(key);
    Value value;
    if (type == array) {
      const auto element = reader.number<std::uint32_t>(key);
      if (element == array) reader.unsupported("'{}' is an array of arrays", key);
      std::vector<Scalar> elements(reader.count(key, least_size(element)));
      for (Scalar& one : elements) one = read_scalar(reader, element, key);
      value = std::move(elements);
    } else {
      value = read_scalar(reader, type, key);
    }
    if (!file.metadata.emplace(key, std::move(value)).second)
      reader.corrupt("metadata '{}' stand twice", key);
  }
}

std::uint64_t alignment_of(const File& file, const Reader& reader) {
  const auto found = file.metadata.find(kAlignmentKey);
  if (found == file.metadata.end()) return kDefaultAlignment;
  const auto* const scalar = std::get_if<Scalar>(&found->second);
  const auto* const value = scalar == nullptr ? nullptr : std::get_if<std::uint64_t>(scalar);
  if (value == nullptr || !std::has_single_bit(*value) || *value > kMaxAlignment) {
    reader.corrupt("'{}' is no power of two up to {}", kAlignmentKey, kMaxAlignment);
  }
  return *value;
}

/// Bytes of a tensor, or nothing if they cannot be counted.
std::optional<std::uint64_t> size_of(const Tensor& tensor) {
  constexpr auto kMost = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  unsigned __int128 size = static_cast<std::uint64_t>(tensor.type->bytes);
  for (std::size_t d = tensor.shape.size(); d-- > 0;) {
    const bool innermost = d + 1 == tensor.shape.size();
    size *= static_cast<std::uint64_t>(innermost ? tensor.shape[d] / tensor.type->elements : tensor.shape[d]);
    if (size > kMost) return std::nullopt;
  }
  return static_cast<std::uint64_t>(size);
}

struct Place {
  std::uint64_t begin, size;
  Tensor* tensor;
};

std::uint64_t read_tensor(Reader& reader, Tensor& tensor) {
  tensor.name = reader.text("the name of a tensor", kMaxName);
  const auto rank = reader.number<std::uint32_t>(tensor.name);
  if (rank == 0 || rank > kMaxRank) reader.corrupt("tensor '{}' has {} dimensions", tensor.name, rank);
  tensor.shape.resize(rank);
  for (std::uint32_t d = 0; d < rank; ++d) {
    const auto size = reader.number<std::uint64_t>(tensor.name);
    if (size > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
      reader.corrupt("tensor '{}' has a dimension of {}", tensor.name, size);
    }
    tensor.shape[rank - 1 - d] = static_cast<std::int64_t>(size);
  }
  const auto number = reader.number<std::uint32_t>(tensor.name);
  tensor.type = find_type(number);
  if (tensor.type == nullptr)
    reader.unsupported("tensor '{}' has type {}, which is unknown", tensor.name, number);
  if (tensor.shape.back() % tensor.type->elements != 0) {
    reader.corrupt("tensor '{}': rows of {} elements are no whole blocks of {}, {} elements each",
                   tensor.name, tensor.shape.back(), tensor.type->name, tensor.type->elements);
  }
  return reader.number<std::uint64_t>(tensor.name);
}

void check_places(std::vector<Place>& places, const std::string& path) {
  std::sort(places.begin(), places.end(), [](const Place& a, const Place& b) { return a.begin < b.begin; });
  const Place* last = nullptr;
  for (const Place& place : places) {
    if (place.size == 0) continue;
    if (last != nullptr && last->begin + last->size > place.begin) {
      fail(ErrorCode::corrupt_file, "{}: tensors '{}' and '{}' overlap at byte {} of the data", path,
           last->tensor->name, place.tensor->name, place.begin);
    }
    last = &place;
  }
}

void read_tensors(Reader& reader, File& file, std::uint64_t count, std::span<const std::byte> bytes,
                  const std::string& path) {
  file.tensors.resize(count);
  std::vector<Place> places;
  for (Tensor& tensor : file.tensors) {
    const std::uint64_t begin = read_tensor(reader, tensor);
    const std::optional<std::uint64_t> size = size_of(tensor);
    if (!size)
      reader.corrupt("tensor '{}' of shape {} is too large to be true", tensor.name, to_string(tensor.shape));
    places.push_back({begin, *size, &tensor});
  }
  const std::uint64_t alignment = alignment_of(file, reader);
  const std::uint64_t data = (reader.position() + alignment - 1) / alignment * alignment;
  for (const Place& place : places) {
    if (place.begin % alignment != 0) {
      fail(ErrorCode::corrupt_file,
           "{}: tensor '{}' begins at byte {} of the data, which is not aligned to {}", path,
           place.tensor->name, place.begin, alignment);
    }
    if (place.size == 0) continue;
    if (data > bytes.size() || place.begin > bytes.size() - data ||
        place.size > bytes.size() - data - place.begin) {
      fail(ErrorCode::corrupt_file, "{}: tensor '{}': offset {} + {} bytes exceeds the {} bytes of data",
           path, place.tensor->name, place.begin, place.size,
           bytes.size() - std::min<std::uint64_t>(data, bytes.size()));
    }
    place.tensor->bytes = bytes.subspan(data + place.begin, place.size);
  }
  check_places(places, path);
  std::vector<std::string_view> names;
  for (const Tensor& tensor : file.tensors) names.push_back(tensor.name);
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice != names.end()) fail(ErrorCode::corrupt_file, "{}: tensor '{}' stands twice", path, *twice);
}

}  // namespace

const Type* find_type(std::uint32_t number) noexcept {
  const auto found = std::find_if(std::begin(kTypes), std::end(kTypes),
                                  [&](const Type& type) { return type.number == number; });
  return found == std::end(kTypes) ? nullptr : found;
}

const Tensor* File::find(std::string_view name) const noexcept {
  const auto found =
      std::find_if(tensors.begin(), tensors.end(), [&](const Tensor& tensor) { return tensor.name == name; });
  return found == tensors.end() ? nullptr : &*found;
}

bool is_gguf(std::span<const std::byte> bytes) noexcept {
  return bytes.size() >= kMagic.size() && std::memcmp(bytes.data(), kMagic.data(), kMagic.size()) == 0;
}

FilePtr open(const std::filesystem::path& path) {
  auto file = std::make_shared<File>(File{MappedFile(path), {}, {}});
  const std::span<const std::byte> bytes = file->map.bytes();
  if (!is_gguf(bytes)) fail(ErrorCode::corrupt_file, "{}: does not begin with '{}'", path.native(), kMagic);
  Reader reader(bytes, path.native());
  reader.number<std::uint32_t>("the magic");
  const auto version = reader.number<std::uint32_t>("the version");
  if (version != 2 && version != 3) reader.unsupported("version {} is not read, only 2 and 3", version);
  const std::uint64_t tensors = reader.count("the number of tensors", 24);
  read_metadata(reader, *file);
  read_tensors(reader, *file, tensors, bytes, path.native());
  return file;
}

}  // namespace mxfp4::gguf
