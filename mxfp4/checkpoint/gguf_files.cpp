#include <algorithm>

#include <re2/re2.h>

#include "mxfp4/base/crc32c.h"
#include "mxfp4/base/fail_internal.h"
#include "mxfp4/checkpoint/gguf_config.h"
#include "mxfp4/checkpoint/gguf_files_internal.h"
#include "mxfp4/checkpoint/gguf_tokenizer.h"
#include "mxfp4/checkpoint/report_internal.h"

namespace mxfp4 {
namespace {

namespace fs = std::filesystem;

constexpr const char *kSplitNumber = "split.no", *kSplitCount = "split.count";
constexpr std::int64_t kMostParts = 99999;

// Types of GGUF whose elements are plain numbers.
struct Plain {
  std::string_view type;
  Dtype dtype;
};
constexpr Plain kPlain[] = {{"F32", Dtype::f32}, {"F16", Dtype::f16}, {"BF16", Dtype::bf16},
                            {"F64", Dtype::f64}, {"I8", Dtype::i8},   {"I16", Dtype::i16},
                            {"I32", Dtype::i32}, {"I64", Dtype::i64}};

StoredTensor stored(const gguf::Tensor& tensor) {
  StoredTensor result{tensor.name, Dtype::u8, tensor.shape, tensor.bytes, tensor.type->name};
  const auto* const plain = std::find_if(std::begin(kPlain), std::end(kPlain),
                                         [&](const Plain& one) { return one.type == tensor.type->name; });
  if (plain != std::end(kPlain)) {
    result.dtype = plain->dtype;
    result.type = {};
  } else {
    result.shape.back() = result.shape.back() / tensor.type->elements * tensor.type->bytes;
  }
  return result;
}

// On one line; of what is too long for one, a checksum tells whether two are the same.
std::string note_of(const gguf::Value& value) {
  constexpr std::size_t kMost = 256;
  if (value.bytes.size() <= kMost && !value.array()) return gguf::shown(value);
  FileCrc32c sum(value.bytes.size());
  sum.add(0, value.bytes);
  const std::string what = value.array() ? gguf::shown(value) : fmt::format("{} bytes", value.bytes.size());
  return fmt::format("{}, CRC-32C {:08x}", what, sum.value());
}

// A part of the metadata, without what is a matter of how a model is split.
std::map<std::string, std::string> notes_of(const gguf::File& file) {
  std::map<std::string, std::string> notes;
  for (const gguf::Pair& pair : file.metadata) notes.emplace(pair.key, note_of(pair.value));
  return notes;
}

std::int64_t parts_of(const gguf::File& file) {
  const gguf::Value* const count = file.value(kSplitCount);
  if (count == nullptr) return 1;
  const std::int64_t parts = count->integer().value_or(0);
  if (parts < 0 || parts > kMostParts) {
    fail(ErrorCode::corrupt_file, "{}: '{}' is {}", file.map.path().native(), kSplitCount, parts);
  }
  return std::max<std::int64_t>(parts, 1);
}

// The files of a split model, given one of them.
std::vector<fs::path> paths_of(const fs::path& path, std::int64_t parts) {
  static const RE2 pattern(R"((.*)-(\d{5})-of-(\d{5})\.gguf)");
  const std::string name = path.filename().native();
  std::string stem, number, count;
  if (!RE2::FullMatch(name, pattern, &stem, &number, &count) || std::stoll(count) != parts) {
    fail(
        ErrorCode::corrupt_file,
        "{}: is one of {} parts, but not called NAME-00001-of-{:05}.gguf, so that the others cannot be found",
        path.native(), parts, parts);
  }
  std::vector<fs::path> paths;
  for (std::int64_t part = 1; part <= parts; ++part)
    paths.push_back(path.parent_path() / fmt::format("{}-{:05}-of-{:05}.gguf", stem, part, parts));
  return paths;
}

}  // namespace

ModelFiles open_gguf_model(const fs::path& path) {
  std::vector<gguf::File> parts;
  parts.push_back(gguf::open(path));
  if (const std::int64_t count = parts_of(parts[0]); count > 1) {
    const std::vector<fs::path> paths = paths_of(path, count);
    parts.clear();
    for (std::size_t i = 0; i < paths.size(); ++i) {
      std::error_code error;
      if (!fs::exists(paths[i], error))
        fail(ErrorCode::corrupt_file, "{}: a part of the model is missing", paths[i].native());
      parts.push_back(gguf::open(paths[i]));
      const gguf::Value* const number = parts.back().value(kSplitNumber);
      if (number == nullptr || number->integer() != static_cast<std::int64_t>(i)) {
        fail(ErrorCode::corrupt_file, "{}: '{}' is {}, not {}", paths[i].native(), kSplitNumber,
             number == nullptr ? "missing" : gguf::shown(*number), i);
      }
    }
  }
  ModelFiles model;
  model.path = path;
  model.container = kGguf;
  // The metadata stand in the first part; of the others' tensors the config asks for one.
  gguf::File& first = parts[0];
  std::vector<std::vector<StoredTensor>> tensors;
  for (const gguf::File& part : parts) {
    std::vector<StoredTensor>& list = tensors.emplace_back();
    for (const gguf::Tensor& tensor : part.tensors) list.push_back(stored(tensor));
    std::sort(list.begin(), list.end(), [](const StoredTensor& a, const StoredTensor& b) {
      return std::less<>()(a.bytes.data(), b.bytes.data());
    });
  }
  for (std::size_t i = 1; i < parts.size(); ++i)
    first.tensors.insert(first.tensors.end(), parts[i].tensors.begin(), parts[i].tensors.end());
  model.config = config_from_gguf(first);
  std::vector<std::map<std::string, std::string>> notes;
  for (const gguf::File& part : parts) notes.push_back(notes_of(part));
  const std::vector<gguf::Pair> metadata = std::move(first.metadata);
  for (std::size_t i = 0; i < parts.size(); ++i) {
    model.files.push_back(std::make_shared<const TensorFile>(
        TensorFile{std::move(parts[i].map), std::move(tensors[i]), std::move(notes[i])}));
  }
  // Made when it is asked for: a tokenizer has some hundred thousand tokens.
  model.derived = [metadata, file = model.files[0]] {
    return tokenizer_from_gguf(metadata, file->map.path().native());
  };
  return model;
}

}  // namespace mxfp4
