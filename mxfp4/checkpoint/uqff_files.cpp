#include <algorithm>
#include <cstring>
#include <map>
#include <set>

#include <re2/re2.h>

#include "mxfp4/checkpoint/config.h"
#include "mxfp4/checkpoint/other_files_internal.h"
#include "mxfp4/checkpoint/report_internal.h"
#include "mxfp4/checkpoint/uqff_files_internal.h"
#include "mxfp4/container/uqff.h"

namespace mxfp4 {
namespace {

namespace fs = std::filesystem;

constexpr const char* kResidual = "residual.safetensors";

bool is_version(std::string_view name) {
  return std::find(std::begin(uqff::kVersionNames), std::end(uqff::kVersionNames), name) !=
         std::end(uqff::kVersionNames);
}

// "q-12.uqff" -> 12; -1 for a name without a number.
std::int64_t number_of(const std::string& file) {
  static const RE2 pattern(R"(.*-(\d{1,9})\.uqff)");
  std::int64_t number = -1;
  RE2::FullMatch(file, pattern, &number);
  return number;
}

template <class Number>
Number value_of(const StoredTensor& tensor) {
  Number value;
  std::memcpy(&value, tensor.bytes.data(), sizeof value);
  return value;
}

/// Names for the blobs of a gpt-oss model: of every layer down_proj and gate_up_proj, told by their shapes.
class BlobNames {
 public:
  explicit BlobNames(const ModelConfig& config) : config_(config) {}

  bool known() const {
    return config_.is_gpt_oss() && config_.hidden_size && config_.intermediate_size && config_.experts;
  }

  std::string module(std::int64_t number, const Shape& codes, std::string_view where) const {
    Shape shape = codes;
    shape.back() *= 2;
    const std::int64_t hidden = *config_.hidden_size, inner = *config_.intermediate_size;
    const bool down = shape == Shape{*config_.experts, hidden, inner};
    if (!down && shape != Shape{*config_.experts, 2 * inner, hidden}) {
      fail(ErrorCode::corrupt_file,
           "{}: layer '{}' of shape {} is neither the down nor the gate and up projection of config.json: {} "
           "experts, hidden_size {}, intermediate_size {}",
           where, number, to_string(shape), *config_.experts, hidden, inner);
    }
    return fmt::format("model.layers.{}.mlp.experts.{}_proj", number / 2, down ? "down" : "gate_up");
  }

 private:
  const ModelConfig& config_;
};

bool is_of_blobs(const TensorFilePtr& file) {
  return file->metadata.find(uqff::kBlobVersionKey) != file->metadata.end();
}

void check_version(const ModelFiles& files, Problems* problems) {
  uqff::Version version{};
  for (std::size_t part = 0; part < version.size(); ++part) {
    const char* const name = uqff::kVersionNames[part];
    const StoredTensor* const tensor = files.find(name);
    if (tensor == nullptr) {
      return report(problems, ProblemKind::missing, name, "{}: no file says '{}'", files.path.native(), name);
    }
    if (tensor->dtype != Dtype::u32 || !tensor->shape.empty()) {
      return report(problems, ProblemKind::dtype, name, "{}: tensor '{}' is {} of shape {}, not one U32",
                    files.file_of(*tensor), name, to_string(tensor->dtype), to_string(tensor->shape));
    }
    version[part] = value_of<std::uint32_t>(*tensor);
  }
  uqff::check_version(version, uqff::kVersion, files.path.native());
}

void name_blobs(TensorFile& file, std::string_view config_text, std::string_view where) {
  const ModelConfig config = parse_config(config_text, "config.json", nullptr);
  const BlobNames names(config);
  if (!names.known()) return;
  std::map<std::string, std::string> modules;
  for (const StoredTensor& tensor : file.tensors) {
    const std::string number = tensor.name.substr(0, tensor.name.find('.'));
    if (tensor.name == number + uqff::kWeight)
      modules[number] = names.module(std::stoll(number), tensor.shape, where);
  }
  for (StoredTensor& tensor : file.tensors) {
    const std::size_t dot = tensor.name.find('.');
    tensor.name = modules.at(tensor.name.substr(0, dot)) + tensor.name.substr(dot);
  }
}

}  // namespace

std::string uqff_stem(std::string_view file) {
  file.remove_suffix(kUqffExtension.size());
  return std::string(number_of(std::string(file) + std::string(kUqffExtension)) < 0
                         ? file
                         : file.substr(0, file.rfind('-')));
}

std::string only_uqff_stem(const fs::path& directory) {
  std::set<std::string> stems;
  for (const fs::directory_entry& entry : entries_of(directory)) {
    const std::string name = entry.path().filename().native();
    const fs::path extension = entry.path().extension();
    if (name == kIndexName || (extension == ".safetensors" && name != kResidual)) return "";
    if (extension == kUqffExtension && name[0] != '.') stems.insert(uqff_stem(name));
  }
  if (stems.size() > 1) {
    fail(ErrorCode::invalid_argument, "{}: holds several UQFF models: {}; name a file of the one you mean",
         directory.native(), fmt::join(stems, ", "));
  }
  return stems.empty() ? "" : *stems.begin();
}

std::vector<std::string> uqff_files(const fs::path& directory, std::string_view stem, Problems* problems) {
  std::vector<std::string> files;
  bool residual = false;
  for (const fs::directory_entry& entry : entries_of(directory)) {
    const std::string name = entry.path().filename().native();
    if (entry.path().extension() == kUqffExtension && uqff_stem(name) == stem) files.push_back(name);
    residual = residual || name == kResidual;
  }
  std::sort(files.begin(), files.end(), natural_less);
  for (std::size_t i = 0; i < files.size(); ++i) {
    const std::int64_t number = number_of(files[i]);
    if (number < 0 || number == static_cast<std::int64_t>(i)) continue;
    report(problems, ProblemKind::missing, "", "{}: shard {}-{}.uqff is missing", directory.native(), stem,
           i);
    break;
  }
  if (residual) files.emplace_back(kResidual);
  return files;
}

TensorFilePtr open_uqff(const fs::path& path, std::string_view config) {
  TensorFile file = uqff::open(path);
  if (file.metadata.find(uqff::kBlobVersionKey) != file.metadata.end())
    name_blobs(file, config, path.native());
  return std::make_shared<const TensorFile>(std::move(file));
}

bool is_uqff_note(const StoredTensor& tensor) {
  return is_version(tensor.name) || tensor.name.ends_with(uqff::kFormat);
}

bool is_same_uqff_version(const StoredTensor& a, const StoredTensor& b) {
  return is_version(a.name) && a.dtype == b.dtype && a.shape == b.shape &&
         std::equal(a.bytes.begin(), a.bytes.end(), b.bytes.begin(), b.bytes.end());
}

bool holds_uqff(const ModelFiles& files) {
  return files.find(uqff::kVersionNames[0]) != nullptr ||
         std::any_of(files.files.begin(), files.files.end(), [](const TensorFilePtr& file) {
           return file->map.path().extension() == kUqffExtension;
         });
}

std::string check_uqff(const ModelFiles& files, Problems* problems) {
  const bool blobs = std::any_of(files.files.begin(), files.files.end(), is_of_blobs);
  if (blobs) return "";  // the reader has asked each of them
  check_version(files, problems);
  std::set<unsigned> others;
  // What must stand beside a tensor: its own suffix in another's place.
  const auto expect_beside = [&](const StoredTensor& tensor, const char* own, const char* other) {
    const std::string name = tensor.name.substr(0, tensor.name.size() - std::strlen(own)) + other;
    if (files.find(name) != nullptr) return;
    report(problems, ProblemKind::missing, name, "{}: tensor '{}' has no '{}' beside it",
           files.file_of(tensor), tensor.name, name);
  };
  for (const StoredTensor* const tensor : files.tensors()) {
    if (tensor->name.ends_with(uqff::kScales)) expect_beside(*tensor, uqff::kScales, uqff::kFormat);
    if (!tensor->name.ends_with(uqff::kFormat)) continue;
    if (tensor->dtype != Dtype::u8 || !tensor->shape.empty()) {
      report(problems, ProblemKind::dtype, tensor->name, "{}: tensor '{}' is {} of shape {}, not one U8",
             files.file_of(*tensor), tensor->name, to_string(tensor->dtype), to_string(tensor->shape));
    } else if (const auto format = value_of<std::uint8_t>(*tensor); format != uqff::kMxfp4) {
      others.insert(format);
    } else {
      expect_beside(*tensor, uqff::kFormat, uqff::kScales);
    }
  }
  return others.empty() ? "" : fmt::format("uqff with format {}", fmt::join(others, ", "));
}

}  // namespace mxfp4
