// The insides of safetensors: the header as JSON, a file that lies in memory, names in messages.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mxfp4/container/tensor_file.h"

namespace mxfp4::safetensors {

/// The key of the header that is not a tensor's name.
inline constexpr std::string_view kMetadataKey = "__metadata__";

/// A tensor as the header describes it; where its bytes are is not checked yet.
struct Entry {
  StoredTensor tensor;
  std::uint64_t begin = 0, end = 0;  ///< data_offsets
};

struct Header {
  std::vector<Entry> entries;  ///< as they stand in the header; names may repeat
  std::map<std::string, std::string> metadata;
};

/// Reads a header's JSON, without recursion. `path` begins the messages. Throws Error corrupt_file.
Header parse_header(std::string_view json, std::string_view path);

struct Content {
  std::vector<StoredTensor> tensors;  ///< by their place in the file; their bytes lie in the file's
  std::map<std::string, std::string> metadata;
};

/// What a file that lies in memory holds, by the rules of open(). Throws Error corrupt_file.
Content read(std::span<const std::byte> file, std::string_view path);

/// A name or a shape as it stands in a message: on one line, and shortened.
std::string shown(std::string_view name);
std::string shown(const Shape& shape);

/// Why byte_size() has no answer: "the product of the sizes overflows".
const char* size_problem(Dtype dtype, const Shape& shape) noexcept;

}  // namespace mxfp4::safetensors
