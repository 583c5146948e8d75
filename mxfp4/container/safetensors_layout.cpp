#include <algorithm>
#include <iterator>
#include <limits>
#include <numeric>
#include <set>

#include <nlohmann/json.hpp>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/container/safetensors.h"
#include "mxfp4/container/safetensors_internal.h"

namespace mxfp4::safetensors {
namespace {

// The system counts a file's bytes in a signed number. Sums stay below 2^64: a tensor has fewer than 2^62.
constexpr std::uint64_t kMaxData = std::numeric_limits<std::int64_t>::max() - kMaxHeader - 8;

std::string json_of(const nlohmann::json& value) {
  try {
    return value.dump();
  } catch (const nlohmann::json::type_error&) {
    fail(ErrorCode::invalid_argument, "a safetensors header is UTF-8, and cannot hold {}",
         value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  }
}

void check_names(std::span<const TensorSpec> specs) {
  std::set<std::string_view> names = {kMetadataKey};
  for (const TensorSpec& spec : specs) {
    if (names.insert(spec.name).second) continue;
    if (spec.name == kMetadataKey) {
      fail(ErrorCode::invalid_argument, "a tensor cannot be named {}, which safetensors keeps for itself",
           spec.name);
    }
    fail(ErrorCode::invalid_argument, "tensor '{}' stands twice in a file to be written", shown(spec.name));
  }
}

std::string padded(std::string text, std::size_t alignment) {
  text.resize((text.size() + alignment - 1) / alignment * alignment, ' ');
  return text;
}

}  // namespace

std::uint64_t TensorSpec::bytes() const {
  const std::optional<std::uint64_t> size = byte_size(dtype, shape);
  if (!size) {
    fail(ErrorCode::invalid_argument, "tensor '{}' cannot be {} of shape {}: {}", shown(name),
         to_string(dtype), shown(shape), size_problem(dtype, shape));
  }
  return *size;
}

Layout layout(std::span<const TensorSpec> specs, const std::map<std::string, std::string>& metadata) {
  check_names(specs);
  std::vector<std::size_t> order(specs.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    if (specs[a].dtype != specs[b].dtype) return specs[a].dtype > specs[b].dtype;
    return specs[a].name < specs[b].name;
  });

  Layout result;
  result.offsets.resize(specs.size());
  std::string json = "{";
  if (!metadata.empty()) json += fmt::format("\"{}\":{}", kMetadataKey, json_of(metadata));
  std::uint64_t end = 0;
  for (const std::size_t index : order) {
    const TensorSpec& spec = specs[index];
    const std::uint64_t begin = end;
    end += spec.bytes();
    if (end > kMaxData) {
      fail(ErrorCode::invalid_argument, "the tensors of a file to be written take more than {} bytes",
           kMaxData);
    }
    fmt::format_to(std::back_inserter(json), R"({}{}:{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})",
                   json.size() > 1 ? "," : "", json_of(spec.name), to_string(spec.dtype),
                   fmt::join(spec.shape, ","), begin, end);
    result.offsets[index] = begin;
  }
  json = padded(json + "}", 8);
  if (json.size() > kMaxHeader) {
    fail(ErrorCode::invalid_argument,
         "the header of a file to be written takes {} bytes, more than the format's {}", json.size(),
         kMaxHeader);
  }
  for (int i = 0; i < 8; ++i) result.head += static_cast<char>(json.size() >> (8 * i) & 0xFF);
  result.head += json;
  for (std::uint64_t& offset : result.offsets) offset += result.head.size();
  result.size = result.head.size() + end;
  return result;
}

}  // namespace mxfp4::safetensors
