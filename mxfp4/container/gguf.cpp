#include "mxfp4/container/gguf.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <optional>

#include "mxfp4/container/gguf_reader_internal.h"

namespace mxfp4::gguf {
namespace {

constexpr Type kTypes[] = {
#define MXFP4_GGUF_TYPE(number, name, elements, bytes) {number, name, elements, bytes},
#include "mxfp4/container/gguf_types.inc"
#undef MXFP4_GGUF_TYPE
};

constexpr std::uint64_t kMaxAlignment = 1 << 20;
constexpr std::uint64_t kMaxName = 1 << 16;                        // bytes of a key or of a tensor's name
constexpr std::uint64_t kSmallestPair = 13, kSmallestTensor = 32;  // bytes

void refuse_twins(const Reader& reader, std::vector<std::string_view> names, const char* what) {
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice != names.end()) reader.corrupt("{} '{}' stands twice", what, shown(*twice));
}

void read_metadata(Reader& reader, File& file) {
  const std::uint64_t pairs = reader.count("the number of metadata", kSmallestPair);
  for (std::uint64_t i = 0; i < pairs; ++i) {
    std::string key(reader.text("the key of metadata", kMaxName));
    const ValueType type = reader.value_type(key);
    const Value value = reader.value(type, key);
    file.metadata.push_back({std::move(key), value});
  }
  std::vector<std::string_view> keys;
  for (const Pair& pair : file.metadata) keys.push_back(pair.key);
  refuse_twins(reader, std::move(keys), "metadata");
}

std::uint64_t alignment_of(const File& file, const Reader& reader) {
  const Value* const value = file.value(kAlignmentKey);
  if (value == nullptr) return kDefaultAlignment;
  const auto alignment = static_cast<std::uint64_t>(value->integer().value_or(0));
  if (!std::has_single_bit(alignment) || alignment > kMaxAlignment) {
    reader.corrupt("'{}' is {}, no power of two up to {}", kAlignmentKey, shown(*value), kMaxAlignment);
  }
  return alignment;
}

struct Place {
  std::uint64_t begin, size;
  Tensor* tensor;
};

Place read_tensor(Reader& reader, Tensor& tensor) {
  tensor.name = reader.text("the name of a tensor", kMaxName);
  const std::string name = shown(tensor.name);
  const auto rank = reader.number<std::uint32_t>(name);
  if (rank == 0 || rank > kMaxRank) reader.corrupt("tensor '{}' has {} dimensions", name, rank);
  tensor.shape.resize(rank);
  for (std::uint32_t d = 0; d < rank; ++d) {
    const auto size = reader.number<std::uint64_t>(name);
    if (size > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
      reader.corrupt("tensor '{}' has a dimension of {}", name, size);
    }
    tensor.shape[rank - 1 - d] = static_cast<std::int64_t>(size);
  }
  const auto number = reader.number<std::uint32_t>(name);
  tensor.type = find_type(number);
  if (tensor.type == nullptr) reader.unsupported("tensor '{}' has type {}, which is unknown", name, number);
  if (tensor.shape.back() % tensor.type->elements != 0) {
    reader.corrupt("tensor '{}': rows of {} elements are no whole blocks of {}, {} elements each", name,
                   tensor.shape.back(), tensor.type->name, tensor.type->elements);
  }
  const std::optional<std::uint64_t> size = size_of(*tensor.type, tensor.shape);
  if (!size) reader.corrupt("tensor '{}' of shape {} is too large to be true", name, to_string(tensor.shape));
  return {reader.number<std::uint64_t>(name), *size, &tensor};
}

void check_places(std::vector<Place>& places, const std::string& path) {
  std::sort(places.begin(), places.end(), [](const Place& a, const Place& b) { return a.begin < b.begin; });
  const Place* last = nullptr;
  for (const Place& place : places) {
    if (place.size == 0) continue;
    if (last != nullptr && last->begin + last->size > place.begin) {
      fail(ErrorCode::corrupt_file, "{}: tensors '{}' and '{}' overlap at byte {} of the data", path,
           shown(last->tensor->name), shown(place.tensor->name), place.begin);
    }
    last = &place;
  }
}

void read_tensors(Reader& reader, File& file, std::uint64_t count, const std::string& path) {
  file.tensors.resize(count);
  std::vector<Place> places;
  for (Tensor& tensor : file.tensors) places.push_back(read_tensor(reader, tensor));
  std::vector<std::string_view> names;
  for (const Tensor& tensor : file.tensors) names.push_back(tensor.name);
  refuse_twins(reader, std::move(names), "tensor");
  file.alignment = alignment_of(file, reader);
  const std::span<const std::byte> bytes = file.map.bytes();
  const std::uint64_t begin = (reader.position() + file.alignment - 1) / file.alignment * file.alignment;
  const std::span<const std::byte> data = bytes.subspan(std::min<std::uint64_t>(begin, bytes.size()));
  for (const Place& place : places) {
    if (place.begin % file.alignment != 0) {
      fail(ErrorCode::corrupt_file,
           "{}: tensor '{}' begins at byte {} of the data, which is not aligned to {}", path,
           shown(place.tensor->name), place.begin, file.alignment);
    }
    if (place.size == 0) continue;
    if (place.begin > data.size() || place.size > data.size() - place.begin) {
      fail(ErrorCode::corrupt_file, "{}: tensor '{}': offset {} + {} bytes exceeds the {} bytes of data",
           path, shown(place.tensor->name), place.begin, place.size, data.size());
    }
    place.tensor->bytes = data.subspan(place.begin, place.size);
  }
  check_places(places, path);
}

}  // namespace

const Type* find_type(std::uint32_t number) noexcept {
  const auto found = std::find_if(std::begin(kTypes), std::end(kTypes),
                                  [&](const Type& type) { return type.number == number; });
  return found == std::end(kTypes) ? nullptr : found;
}

std::optional<std::uint64_t> size_of(const Type& type, const Shape& shape) noexcept {
  if (shape.back() % type.elements != 0) return std::nullopt;
  // A size of 0 must not hide what the others cannot be.
  std::int64_t size = type.bytes;
  bool empty = false;
  for (std::size_t d = shape.size(); d-- > 0;) {
    const std::int64_t blocks = d + 1 == shape.size() ? shape[d] / type.elements : shape[d];
    empty = empty || blocks == 0;
    if (blocks != 0 && __builtin_mul_overflow(size, blocks, &size)) return std::nullopt;
  }
  if (!byte_size(Dtype::f64, shape)) return std::nullopt;  // elements are counted in bits elsewhere
  return empty ? 0 : static_cast<std::uint64_t>(size);
}

const Value* find_value(std::span<const Pair> metadata, std::string_view key) noexcept {
  const auto found =
      std::find_if(metadata.begin(), metadata.end(), [&](const Pair& pair) { return pair.key == key; });
  return found == metadata.end() ? nullptr : &found->value;
}

const Tensor* File::find(std::string_view name) const noexcept {
  const auto found =
      std::find_if(tensors.begin(), tensors.end(), [&](const Tensor& tensor) { return tensor.name == name; });
  return found == tensors.end() ? nullptr : &*found;
}

bool is_gguf(std::span<const std::byte> bytes) noexcept {
  return bytes.size() >= kMagic.size() && std::memcmp(bytes.data(), kMagic.data(), kMagic.size()) == 0;
}

File open(const std::filesystem::path& path) {
  File file{MappedFile(path), 0, 0, {}, {}};
  const std::span<const std::byte> bytes = file.map.bytes();
  if (!is_gguf(bytes)) fail(ErrorCode::corrupt_file, "{}: does not begin with '{}'", path.native(), kMagic);
  Reader reader(bytes, path.native());
  reader.take(kMagic.size(), "the magic");
  file.version = reader.number<std::uint32_t>("the version");
  const std::uint32_t swapped = __builtin_bswap32(file.version);
  if (swapped == 2 || swapped == 3)
    reader.unsupported("a big-endian file of version {} is not read", swapped);
  if (file.version != 2 && file.version != 3) {
    reader.unsupported("version {} is not read, only 2 and 3", file.version);
  }
  const std::uint64_t tensors = reader.count("the number of tensors", kSmallestTensor);
  read_metadata(reader, file);
  read_tensors(reader, file, tensors, path.native());
  return file;
}

}  // namespace mxfp4::gguf
