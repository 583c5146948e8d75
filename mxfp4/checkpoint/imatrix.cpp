#include "mxfp4/checkpoint/imatrix.h"

#include <cmath>
#include <cstring>
#include <functional>

#include <re2/re2.h>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/base/file.h"
#include "mxfp4/container/gguf.h"
#include "mxfp4/container/safetensors.h"

namespace mxfp4 {
namespace {

constexpr std::string_view kSums = ".in_sum2", kCounts = ".counts", kWeight = ".weight";
constexpr std::uint32_t kMaxName = 1 << 16;

std::vector<float> floats_of(std::span<const std::byte> bytes) {
  std::vector<float> values(bytes.size() / sizeof(float));
  if (!values.empty()) std::memcpy(values.data(), bytes.data(), values.size() * sizeof(float));
  return values;
}

void check_values(const std::filesystem::path& path, std::string_view name, std::span<const float> values,
                  std::string_view what = "an importance") {
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (std::isfinite(values[i]) && values[i] >= 0) continue;
    fail(ErrorCode::corrupt_file, "{}: '{}': value {} is {}, but {} is finite and not negative",
         path.native(), name, i, values[i], what);
  }
}

/// Sums over the tokens that a matrix saw, one matrix to a row, and how many tokens these were: their means.
std::vector<float> means(const std::filesystem::path& path, std::string_view name, std::vector<float> sums,
                         const std::vector<float>& counts) {
  if (counts.empty() || sums.size() % counts.size() != 0) {
    fail(ErrorCode::corrupt_file, "{}: '{}' has {} sums, but {} counts", path.native(), name, sums.size(),
         counts.size());
  }
  check_values(path, std::string(name).append(kCounts), counts, "a count");
  const std::size_t columns = sums.size() / counts.size();
  for (std::size_t i = 0; i < sums.size(); ++i) {
    const float count = counts[i / columns];
    sums[i] = count > 0 ? sums[i] / count : 1.0f;
  }
  return sums;
}

/// Reads the old format, values of four bytes one after the other.
class DatReader {
 public:
  DatReader(const std::filesystem::path& path, std::span<const std::byte> bytes)
      : path_(path), bytes_(bytes) {}

  std::size_t left() const noexcept { return bytes_.size(); }

  std::span<const std::byte> take(std::uint64_t size, std::string_view what) {
    if (size > bytes_.size()) {
      fail(ErrorCode::corrupt_file, "{}: {} takes {} bytes, but the file ends after {}", path_.native(), what,
           size, bytes_.size());
    }
    const auto taken = bytes_.first(size);
    bytes_ = bytes_.subspan(size);
    return taken;
  }

  std::int32_t number(std::string_view what, std::int32_t least) {
    std::int32_t value;
    std::memcpy(&value, take(sizeof value, what).data(), sizeof value);
    if (value < least) fail(ErrorCode::corrupt_file, "{}: {} is {}", path_.native(), what, value);
    return value;
  }

 private:
  const std::filesystem::path& path_;
  std::span<const std::byte> bytes_;
};

template <class Add>
void read_dat(const std::filesystem::path& path, std::span<const std::byte> bytes, const Add& add) {
  DatReader reader(path, bytes);
  const std::int32_t entries = reader.number("the number of entries", 1);
  for (std::int32_t i = 0; i < entries; ++i) {
    const auto size = static_cast<std::uint32_t>(reader.number("the length of a name", 1));
    if (size > kMaxName) fail(ErrorCode::corrupt_file, "{}: a name of {} bytes", path.native(), size);
    const auto text = reader.take(size, "a name");
    const std::string name(reinterpret_cast<const char*>(text.data()), text.size());
    const std::int32_t calls = reader.number("the number of calls", 0);
    const auto count = static_cast<std::uint64_t>(reader.number("the number of values", 1));
    std::vector<float> values = floats_of(reader.take(count * sizeof(float), name));
    for (float& value : values) value = calls > 0 ? value / static_cast<float>(calls) : 1.0f;
    add(name, std::move(values));
  }
  // Newer files go on with a number of chunks and the name of a data set.
}

struct RawTensor {
  std::string name;
  bool is_f32;
  std::string type;
  std::span<const std::byte> bytes;
};

/// What GGUF and safetensors have in common: `NAME.in_sum2` with `NAME.counts`, and in safetensors plain
/// `NAME`.
template <class Add>
void read_tensors(const std::filesystem::path& path, const std::vector<RawTensor>& tensors, bool plain,
                  const Add& add) {
  std::map<std::string_view, const RawTensor*> by_name;
  for (const RawTensor& tensor : tensors) by_name[tensor.name] = &tensor;
  const auto values = [&](const RawTensor& tensor) {
    if (!tensor.is_f32) {
      fail(ErrorCode::corrupt_file, "{}: tensor '{}' is {}, not F32", path.native(), tensor.name,
           tensor.type);
    }
    return floats_of(tensor.bytes);
  };
  for (const RawTensor& tensor : tensors) {
    const std::string_view name = tensor.name;
    const bool sums = name.ends_with(kSums), counts = name.ends_with(kCounts);
    if (!sums && !counts) {
      if (plain) add(std::string(name), values(tensor));
      continue;
    }
    const std::string module(name.substr(0, name.size() - (sums ? kSums : kCounts).size()));
    const auto partner = by_name.find(module + std::string(sums ? kCounts : kSums));
    if (partner == by_name.end()) {
      fail(ErrorCode::corrupt_file, "{}: tensor '{}' stands without '{}{}'", path.native(), name, module,
           sums ? kCounts : kSums);
    }
    if (!sums) continue;
    std::vector<float> numbers = values(tensor);
    check_values(path, name, numbers);
    add(module, means(path, module, std::move(numbers), values(*partner->second)));
  }
}

struct NamePattern {
  const char* pattern;  // of what follows the layer; its group is the expert
  std::initializer_list<const char*> names;
};

const NamePattern kNamePatterns[] = {
    {R"(self_attn\.([qkv])_proj)", {"attn_\\1"}},
    {R"(self_attn\.o_proj)", {"attn_output"}},
    {R"(mlp\.(gate|up|down)_proj)", {"ffn_\\1"}},
    {R"(mlp\.experts\.gate_up_proj)", {"ffn_gate_exps", "ffn_up_exps", "ffn_gate_up_exps"}},
    {R"(mlp\.experts\.(gate|up|down)_proj)", {"ffn_\\1_exps"}},
    {R"(mlp\.shared_experts?\.(gate|up|down)_proj)", {"ffn_\\1_shexp"}},
    {R"(block_sparse_moe\.experts\.w1)", {"ffn_gate_exps"}},
    {R"(block_sparse_moe\.experts\.w2)", {"ffn_down_exps"}},
    {R"(block_sparse_moe\.experts\.w3)", {"ffn_up_exps"}},
    {R"(mlp\.mlp1_weight)", {"ffn_gate_exps", "ffn_up_exps", "ffn_gate_up_exps"}},
    {R"(mlp\.mlp2_weight)", {"ffn_down_exps"}},
};

}  // namespace

std::vector<LlamaCppName> llama_cpp_names(std::string_view weight) {
  static const RE2 in_layer(
      R"((?:model\.)?(?:language_model\.)?(?:layers|block)\.(\d+)\.(.*?)(?:\.weight)?)");
  static const RE2 of_expert(R"((.*\.experts)\.(\d+)(\..*))");
  const re2::StringPiece text(weight.data(), weight.size());
  std::string layer, rest;
  std::vector<LlamaCppName> names;
  if (weight == "lm_head.weight") return {{"output.weight", -1}};
  if (!RE2::FullMatch(text, in_layer, &layer, &rest)) return names;
  std::int64_t expert = -1;
  std::string before, after;
  if (RE2::FullMatch(rest, of_expert, &before, &expert, &after)) rest = before + after;
  for (const auto& [pattern, candidates] : kNamePatterns) {
    const RE2 expression(pattern);
    if (!RE2::FullMatch(rest, expression)) continue;
    for (const char* const candidate : candidates) {
      std::string name;
      RE2::Extract(rest, expression, candidate, &name);
      names.push_back({fmt::format("blk.{}.{}.weight", layer, name), expert});
    }
  }
  return names;
}

ImportanceMatrix ImportanceMatrix::open(const std::filesystem::path& path) {
  ImportanceMatrix matrix;
  matrix.path_ = path;
  const auto add = [&](const std::string& name, std::vector<float> values) {
    check_values(path, name, values);
    if (!matrix.entries_.emplace(name, std::move(values)).second) {
      fail(ErrorCode::corrupt_file, "{}: '{}' stands twice", path.native(), name);
    }
  };
  const MappedFile map(path);
  if (gguf::is_gguf(map.bytes())) {
    const gguf::File file = gguf::open(path);
    std::vector<RawTensor> tensors;
    for (const gguf::Tensor& tensor : file.tensors) {
      tensors.push_back({tensor.name, tensor.type->number == gguf::kF32, tensor.type->name, tensor.bytes});
    }
    read_tensors(path, tensors, false, add);
  } else if (path.extension() == ".safetensors") {
    const TensorFilePtr file = safetensors::open(path);
    std::vector<RawTensor> tensors;
    for (const StoredTensor& tensor : file->tensors) {
      tensors.push_back({tensor.name, tensor.dtype == Dtype::f32, to_string(tensor.dtype), tensor.bytes});
    }
    read_tensors(path, tensors, true, add);
  } else {
    read_dat(path, map.bytes(), add);
  }
  if (matrix.entries_.empty()) fail(ErrorCode::corrupt_file, "{}: holds no importance matrix", path.native());
  return matrix;
}

std::span<const float> ImportanceMatrix::find(std::string_view weight, std::int64_t experts,
                                              std::int64_t columns) const {
  std::string with_suffix(weight), without_suffix(weight);
  with_suffix += kWeight;
  if (weight.ends_with(kWeight)) without_suffix.resize(weight.size() - kWeight.size());
  std::vector<LlamaCppName> names = {{std::string(weight), -1}, {with_suffix, -1}, {without_suffix, -1}};
  for (LlamaCppName& name : llama_cpp_names(weight)) names.push_back(std::move(name));
  for (const LlamaCppName& name : names) {
    const auto found = entries_.find(name.name);
    if (found == entries_.end()) continue;
    const std::span<const float> values = found->second;
    const auto count = static_cast<std::int64_t>(values.size());
    if (count == columns) return values;
    if (name.expert >= 0 && columns > 0 && count % columns == 0 && name.expert < count / columns) {
      return values.subspan(static_cast<std::size_t>(name.expert * columns),
                            static_cast<std::size_t>(columns));
    }
    if (name.expert < 0 && experts > 0 && count == experts * columns) return values;
    fail(ErrorCode::invalid_argument, "{}: '{}' has {} values, which fit neither the {} columns of '{}'{}",
         path_.native(), name.name, count, columns, weight,
         experts > 0 ? fmt::format(" nor its {} experts of as many", experts)
                     : " nor a number of experts of as many");
  }
  return {};
}

}  // namespace mxfp4
