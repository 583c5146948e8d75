// What holds of any bytes that claim to be a safetensors file. For the fuzzer and its replay.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "mxfp4/base/error.h"
#include "mxfp4/container/safetensors.h"
#include "mxfp4/container/safetensors_internal.h"

namespace mxfp4::safetensors {

inline void require(bool holds, const char* what) {
  if (!holds) throw std::logic_error(what);
}

/// A file of that header.
inline std::string file_of(std::string_view header, std::string_view data) {
  std::string file;
  for (int i = 0; i < 8; ++i) file += static_cast<char>(header.size() >> (8 * i) & 0xFF);
  return file.append(header).append(data);
}

inline void check_refusal(const Error& error) {
  const std::string_view message = error.what();
  require(error.code() == ErrorCode::corrupt_file, "refused with another code than corrupt_file");
  require(message.starts_with("PATH: "), "the message does not begin with the path");
  require(message.size() < 4000, "the message is long");
  require(message.find('\n') == message.npos, "the message has several lines");
}

/// Tensors fill the data one after the other, under names of their own.
inline void check_places(const Content& content, std::span<const std::byte> file) {
  std::set<std::string_view> names;
  std::size_t bytes = 0;
  for (const StoredTensor& tensor : content.tensors) {
    require(names.insert(tensor.name).second, "a name stands twice");
    require(tensor.bytes.size() == byte_size(tensor.dtype, tensor.shape), "bytes do not fit dtype and shape");
    bytes += tensor.bytes.size();
  }
  const std::byte* next = file.data() + file.size() - bytes;
  for (const StoredTensor& tensor : content.tensors) {
    require(tensor.bytes.data() == next, "tensors do not follow each other up to the end of the file");
    next += tensor.bytes.size();
  }
}

inline std::set<std::tuple<std::string, Dtype, Shape>> described(const std::vector<StoredTensor>& tensors) {
  std::set<std::tuple<std::string, Dtype, Shape>> result;
  for (const StoredTensor& tensor : tensors) result.emplace(tensor.name, tensor.dtype, tensor.shape);
  return result;
}

/// Laying the tensors out again gives a file with the same content, its tensors aligned.
inline void check_layout(const Content& content) {
  std::vector<TensorSpec> specs;
  for (const StoredTensor& tensor : content.tensors)
    specs.push_back({tensor.name, tensor.dtype, tensor.shape});
  const Layout layout = safetensors::layout(specs, content.metadata);
  const std::string file = layout.head + std::string(layout.size - layout.head.size(), '\0');
  const Content again = read(std::as_bytes(std::span(file)), "PATH");
  require(again.metadata == content.metadata, "the metadata change in a round trip");
  require(described(again.tensors) == described(content.tensors), "tensors change in a round trip");

  std::map<std::string_view, std::uint64_t> offsets;
  for (std::size_t i = 0; i < specs.size(); ++i) offsets[specs[i].name] = layout.offsets[i];
  for (const StoredTensor& tensor : again.tensors) {
    const auto offset =
        static_cast<std::uint64_t>(tensor.bytes.data() - std::as_bytes(std::span(file)).data());
    require(offsets[tensor.name] == offset, "a tensor is not where the layout says");
    require(offset % static_cast<std::uint64_t>(std::max(bits_of(tensor.dtype) / 8, 1)) == 0,
            "a tensor is not aligned");
  }
}

/// Whether the bytes are accepted. Throws std::logic_error if something does not hold of them.
inline bool check_bytes(std::span<const std::byte> file) {
  Content content;
  try {
    content = read(file, "PATH");
  } catch (const Error& error) {
    check_refusal(error);
    return false;
  }
  check_places(content, file);
  check_layout(content);
  return true;
}

/// The same bytes, with the length of the header set to where the last brace closes: mutations that insert or
/// delete then reach the rules behind it.
inline std::string with_fitting_length(std::string_view file) {
  const std::size_t brace = file.rfind('}');
  if (brace == file.npos || brace < 8) return std::string(file);
  return file_of(file.substr(8, brace - 7), file.substr(brace + 1));
}

}  // namespace mxfp4::safetensors
