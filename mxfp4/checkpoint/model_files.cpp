#include "mxfp4/checkpoint/model_files.h"

#include <algorithm>
#include <cerrno>
#include <map>
#include <set>

#include "mxfp4/checkpoint/gguf_files_internal.h"
#include "mxfp4/checkpoint/json_internal.h"
#include "mxfp4/checkpoint/other_files_internal.h"
#include "mxfp4/checkpoint/report_internal.h"
#include "mxfp4/checkpoint/uqff_files_internal.h"
#include "mxfp4/container/safetensors.h"

namespace mxfp4 {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxConfig = std::size_t{16} << 20;
constexpr std::size_t kMaxIndex = std::size_t{128} << 20;

struct Index {
  std::map<std::string, std::string, std::less<>> files;  // by tensor
  nlohmann::json total_size;                              // as it says; null if it does not
};

// Whether the index may name it: a file below the directory, not reached through a linked directory. The file
// itself may be a link, as in a download cache.
bool lies_inside(const fs::path& directory, const std::string& name) {
  const fs::path relative(name);
  if (name.empty() || name.find('\0') != std::string::npos || relative.is_absolute()) return false;
  fs::path at = directory;
  for (const fs::path& part : relative) {
    if (part.empty() || part == "." || part == "..") return false;
    std::error_code error;
    if (at != directory && fs::is_symlink(fs::symlink_status(at, error))) return false;
    at /= part;
  }
  return true;
}

Index read_index(const fs::path& directory, Problems* problems) {
  const fs::path path = directory / kIndexName;
  const nlohmann::json json = parse_json(read_file(path, kMaxIndex), path.native());
  const auto found = json.find("weight_map");
  if (found == json.end() || !found->is_object()) {
    fail(ErrorCode::corrupt_file, "{}: has no object 'weight_map'", path.native());
  }
  Index index;
  for (const auto& [tensor, file] : found->items()) {
    if (!file.is_string()) {
      report(problems, ProblemKind::index, tensor, "{}: tensor '{}': the name of its file is no string",
             path.native(), tensor);
      continue;
    }
    const auto& name = file.get_ref<const std::string&>();
    if (!lies_inside(directory, name)) {
      report(problems, ProblemKind::index, tensor, "{}: tensor '{}': '{}' is not a file inside the directory",
             path.native(), tensor, name);
      continue;
    }
    index.files.emplace(tensor, name);
  }
  const auto metadata = json.find("metadata");
  if (metadata != json.end() && metadata->is_object())
    index.total_size = metadata->value("total_size", nlohmann::json());
  return index;
}

std::vector<std::string> files_of(const Index& index) {
  std::vector<std::string> files;
  for (const auto& [tensor, file] : index.files) files.push_back(file);
  std::sort(files.begin(), files.end(), natural_less);
  files.erase(std::unique(files.begin(), files.end()), files.end());
  return files;
}

// "model-00002-of-00003" -> 3; 0 for a name that is no shard's.
std::size_t shards_in_all(std::string_view stem) {
  constexpr std::size_t kDigits = 5;
  constexpr std::string_view kOf = "-of-";
  const auto digits = [](std::string_view text) {
    return text.size() == kDigits && text.find_first_not_of("0123456789") == std::string_view::npos;
  };
  const std::size_t of = stem.rfind(kOf);
  if (of == std::string_view::npos || of < kDigits || !digits(stem.substr(of - kDigits, kDigits))) return 0;
  const std::string_view total = stem.substr(of + kOf.size());
  return digits(total) ? static_cast<std::size_t>(std::stoul(std::string(total))) : 0;
}

std::vector<std::string> files_without_index(const fs::path& directory, Problems* problems) {
  std::vector<std::string> files;
  for (const fs::directory_entry& entry : entries_of(directory)) {
    std::error_code error;
    const std::string name = entry.path().filename().native();
    if (entry.path().extension() == ".safetensors" && name[0] != '.' && !entry.is_directory(error)) {
      files.push_back(name);
    }
  }
  if (std::find(files.begin(), files.end(), "model.safetensors") != files.end()) return {"model.safetensors"};
  std::sort(files.begin(), files.end(), natural_less);
  for (const std::string& file : files) {
    const std::size_t total = shards_in_all(fs::path(file).stem().native());
    if (total > files.size()) {
      report(problems, ProblemKind::missing, "",
             "{}: {} says that there are {} shards, but only {} of them are here", directory.native(), file,
             total, files.size());
      break;
    }
  }
  return files;
}

void find_names(ModelFiles& model, Problems* problems) {
  for (const TensorFilePtr& file : model.files) {
    for (const StoredTensor& tensor : file->tensors) {
      const auto [other, is_new] = model.by_name.emplace(tensor.name, &tensor);
      if (!is_new && is_same_uqff_version(tensor, *other->second)) continue;
      if (!is_new) {
        report(problems, ProblemKind::extra, tensor.name, "{}: tensor '{}' stands in {} and in {}",
               model.path.native(), tensor.name, model.file_of(*other->second), model.file_of(tensor));
        continue;
      }
      model.in_order.push_back(&tensor);
    }
  }
  std::sort(model.in_order.begin(), model.in_order.end(),
            [](const StoredTensor* a, const StoredTensor* b) { return natural_less(a->name, b->name); });
}

void check_index(const ModelFiles& model, const Index& index, const std::set<std::string>& missing,
                 Problems* problems) {
  for (const auto& [name, file] : index.files) {
    const StoredTensor* const tensor = model.find(name);
    const std::string actual = tensor == nullptr ? "no file" : model.file_of(*tensor);
    if (actual == file || missing.count(file) > 0) continue;
    report(problems, tensor == nullptr ? ProblemKind::missing : ProblemKind::index, name,
           "{}: {} says that tensor '{}' is in {}, but {} holds it", model.path.native(), kIndexName, name,
           file, actual);
  }
  for (const StoredTensor* const tensor : model.tensors()) {
    if (index.files.find(tensor->name) != index.files.end()) continue;
    report(problems, ProblemKind::index, tensor->name, "{}: {} holds tensor '{}', which {} does not name",
           model.path.native(), model.file_of(*tensor), tensor->name, kIndexName);
  }
}

// No reader asks, and published models are wrong about it: a problem for those who look for problems.
void check_total_size(const ModelFiles& model, const Index& index, Problems& problems) {
  std::uint64_t bytes = 0;
  for (const StoredTensor* const tensor : model.tensors()) bytes += tensor->bytes.size();
  if (index.total_size.is_null() || index.total_size == bytes) return;
  report(&problems, ProblemKind::index, "",
         "{}: {} says that total_size is {}, but the tensors have {} bytes", model.path.native(), kIndexName,
         shown(index.total_size), bytes);
}

[[noreturn]] void refuse_without_weights(const fs::path& directory) {
  std::vector<std::string> others;
  for (const fs::directory_entry& entry : entries_of(directory)) {
    if (is_other_format(entry.path())) others.push_back(entry.path().filename().native());
  }
  std::sort(others.begin(), others.end(), natural_less);
  fail(ErrorCode::invalid_argument, "{}: no .safetensors file in it{}{}", directory.native(),
       others.empty() ? "" : "; what it holds is not read: ", fmt::join(others, " "));
}

// `uqff` is the stem of .uqff files that are to be read, or empty.
ModelFiles open_directory(const fs::path& path, std::string_view uqff, Problems* problems) {
  ModelFiles model;
  model.path = path;
  model.is_directory = true;
  std::error_code error;
  if (fs::exists(fs::symlink_status(path / kConfigName, error))) {
    model.config = read_file(path / kConfigName, kMaxConfig);
    if (model.config.empty()) fail(ErrorCode::corrupt_file, "{}: is empty", (path / kConfigName).native());
  }
  const bool indexed = uqff.empty() && fs::exists(fs::symlink_status(path / kIndexName, error));
  const Index index = indexed ? read_index(path, problems) : Index();
  const std::vector<std::string> names = !uqff.empty() ? uqff_files(path, uqff, problems)
                                         : indexed     ? files_of(index)
                                                       : files_without_index(path, problems);
  if (names.empty() && !indexed) refuse_without_weights(path);  // before anything below it is looked at
  list_other_files(model, names);
  std::set<std::string> missing;
  for (const std::string& name : names) {
    if (fs::exists(path / name, error)) {
      const bool is_uqff = fs::path(name).extension() == kUqffExtension;
      model.files.push_back(is_uqff ? open_uqff(path / name, model.config) : safetensors::open(path / name));
    } else {
      report(problems, ProblemKind::missing, "", "{}: shard {} is missing", path.native(), name);
      missing.insert(name);
    }
  }
  find_names(model, problems);
  if (model.by_name.empty()) {
    report(problems, ProblemKind::missing, "", "{}: holds no tensor at all", path.native());
  }
  if (indexed) check_index(model, index, missing, problems);
  if (indexed && missing.empty() && problems != nullptr) check_total_size(model, index, *problems);
  return model;
}

ModelFiles open_file(const fs::path& path) {
  if (is_other_format(path)) {
    fail(ErrorCode::unsupported, "{}: {} files are not read, only .safetensors and .gguf", path.native(),
         path.extension().native());
  }
  ModelFiles model;
  model.path = path;
  model.files.push_back(safetensors::open(path));
  return model;
}

}  // namespace

const StoredTensor* ModelFiles::find(std::string_view name) const noexcept {
  const auto found = by_name.find(name);
  return found == by_name.end() ? nullptr : found->second;
}

std::string ModelFiles::file_of(const StoredTensor& tensor) const {
  for (const TensorFilePtr& file : files) {
    const StoredTensor* const begin = file->tensors.data();
    if (std::less_equal<>()(begin, &tensor) && std::less<>()(&tensor, begin + file->tensors.size())) {
      const fs::path& full = file->map.path();
      return is_directory ? full.lexically_relative(path).native() : full.filename().native();
    }
  }
  return "";
}

ModelFiles open_model(const fs::path& path, Problems* problems) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (status.type() == fs::file_type::not_found) fail_io(path.native(), "open", ENOENT);
  if (status.type() == fs::file_type::none) fail_io(path.native(), "open", error.value());
  if (fs::is_directory(status)) return open_directory(path, only_uqff_stem(path), problems);
  if (path.extension() == kUqffExtension) {
    const fs::path directory = path.parent_path();
    return open_directory(directory.empty() ? "." : directory, uqff_stem(path.filename().native()), problems);
  }
  ModelFiles model = path.extension() == ".gguf" ? open_gguf_model(path) : open_file(path);
  find_names(model, problems);
  return model;
}

}  // namespace mxfp4
