#include "mxfp4/container/safetensors.h"

#include <algorithm>
#include <optional>
#include <tuple>
#include <utility>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/container/safetensors_internal.h"

namespace mxfp4::safetensors {
namespace {

constexpr std::size_t kLengthBytes = 8;

std::uint64_t little_endian(std::span<const std::byte> bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = bytes.size(); i-- > 0;) value = value << 8 | std::to_integer<std::uint64_t>(bytes[i]);
  return value;
}

std::string_view header_of(std::span<const std::byte> file, std::string_view path) {
  if (file.size() < kLengthBytes) {
    fail(ErrorCode::corrupt_file, "{}: {} bytes do not hold the header's length, which takes {}", path,
         file.size(), kLengthBytes);
  }
  const std::uint64_t length = little_endian(file.first(kLengthBytes));
  if (length > kMaxHeader) {
    fail(ErrorCode::corrupt_file,
         "{}: no safetensors file: a header of {} bytes is longer than the format's limit of {}", path,
         length, kMaxHeader);
  }
  if (length > file.size() - kLengthBytes) {
    fail(ErrorCode::corrupt_file, "{}: a header of {} bytes exceeds the file of {} bytes", path, length,
         file.size());
  }
  return {reinterpret_cast<const char*>(file.data()) + kLengthBytes, static_cast<std::size_t>(length)};
}

void check_size(const Entry& entry, std::string_view path) {
  const StoredTensor& tensor = entry.tensor;
  const std::optional<std::uint64_t> bytes = byte_size(tensor.dtype, tensor.shape);
  if (!bytes) {
    fail(ErrorCode::corrupt_file, "{}: tensor '{}' is {} of shape {}: {}", path, shown(tensor.name),
         to_string(tensor.dtype), shown(tensor.shape), size_problem(tensor.dtype, tensor.shape));
  }
  if (entry.begin > entry.end) {
    fail(ErrorCode::corrupt_file, "{}: tensor '{}': data_offsets [{}, {}] end before they begin", path,
         shown(tensor.name), entry.begin, entry.end);
  }
  if (entry.end - entry.begin != *bytes) {
    fail(ErrorCode::corrupt_file,
         "{}: tensor '{}': data_offsets [{}, {}] hold {} bytes, {} of shape {} takes {}", path,
         shown(tensor.name), entry.begin, entry.end, entry.end - entry.begin, to_string(tensor.dtype),
         shown(tensor.shape), *bytes);
  }
}

// `entries` by name.
void check_names(std::span<const Entry> entries, std::string_view path) {
  const auto twice = std::adjacent_find(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return a.tensor.name == b.tensor.name;
  });
  if (twice != entries.end()) {
    fail(ErrorCode::corrupt_file, "{}: tensor '{}' stands twice in the header", path,
         shown(twice->tensor.name));
  }
}

// `entries` by their place. They must follow each other without a gap and fill `data`.
void check_places(std::span<const Entry> entries, std::span<const std::byte> data, std::string_view path) {
  std::uint64_t end = 0;
  std::string_view last;
  for (const Entry& entry : entries) {
    check_size(entry, path);
    const std::string& name = entry.tensor.name;
    if (entry.begin > end) {
      fail(ErrorCode::corrupt_file,
           "{}: tensor '{}' begins at byte {} of the data, but byte {} belongs to no tensor", path,
           shown(name), entry.begin, end);
    }
    if (entry.begin < end) {
      fail(ErrorCode::corrupt_file,
           "{}: tensor '{}' begins at byte {} of the data, but tensor '{}' ends at byte {}", path,
           shown(name), entry.begin, shown(last), end);
    }
    if (entry.end > data.size()) {
      fail(ErrorCode::corrupt_file,
           "{}: tensor '{}' ends at byte {} of the data, but the file has {} bytes of data", path,
           shown(name), entry.end, data.size());
    }
    end = entry.end;
    last = name;
  }
  if (entries.empty() && !data.empty()) {
    fail(ErrorCode::corrupt_file, "{}: the file has {} bytes of data, but no tensor", path, data.size());
  }
  if (end < data.size()) {
    fail(ErrorCode::corrupt_file,
         "{}: the last tensor ends at byte {} of the data, but the file has {} bytes of data", path, end,
         data.size());
  }
}

}  // namespace

std::string shown(std::string_view name) {
  constexpr std::size_t kMost = 200;
  const std::string quoted = fmt::format("{:?}", name.substr(0, kMost));
  return quoted.substr(1, quoted.size() - 2) + (name.size() > kMost ? "..." : "");
}

std::string shown(const Shape& shape) {
  constexpr std::size_t kMost = 16;
  if (shape.size() <= kMost) return to_string(shape);
  return fmt::format("[{}, ...]", fmt::join(std::span(shape).first(kMost), ", "));
}

const char* size_problem(Dtype dtype, const Shape& shape) noexcept {
  if (std::any_of(shape.begin(), shape.end(), [](std::int64_t size) { return size < 0; })) {
    return "a size is negative";
  }
  const bool whole_bytes = bits_of(dtype) % 8 == 0;
  return whole_bytes || !byte_size(Dtype::u8, shape) ? "the product of the sizes overflows"
                                                     : "the elements do not fill whole bytes";
}

Content read(std::span<const std::byte> file, std::string_view path) {
  const std::string_view json = header_of(file, path);
  Header header = parse_header(json, path);
  std::vector<Entry>& entries = header.entries;
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return a.tensor.name < b.tensor.name; });
  check_names(entries, path);
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::tie(a.begin, a.end, a.tensor.name) < std::tie(b.begin, b.end, b.tensor.name);
  });
  const std::span<const std::byte> data = file.subspan(kLengthBytes + json.size());
  check_places(entries, data, path);

  Content content{{}, std::move(header.metadata)};
  content.tensors.reserve(entries.size());
  for (Entry& entry : entries) {
    entry.tensor.bytes = data.subspan(entry.begin, entry.end - entry.begin);
    content.tensors.push_back(std::move(entry.tensor));
  }
  return content;
}

TensorFilePtr open(const std::filesystem::path& path) {
  MappedFile map(path);
  Content content = read(map.bytes(), path.native());
  return std::make_shared<const TensorFile>(
      TensorFile{std::move(map), std::move(content.tensors), std::move(content.metadata)});
}

}  // namespace mxfp4::safetensors
