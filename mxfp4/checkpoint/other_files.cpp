#include <algorithm>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/checkpoint/other_files_internal.h"

namespace mxfp4 {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kOtherFormats[] = {".bin",  ".pt",        ".pth", ".ckpt",    ".gguf", ".uqff",
                                              ".onnx", ".onnx_data", ".h5",  ".msgpack", ".ot",   ".npz"};

// Why an entry is left behind; empty if it is to be copied, or looked into if it is a directory.
std::string reason_to_leave(const fs::directory_entry& entry) {
  const std::string name = entry.path().filename().native();
  std::error_code error;
  if (name[0] == '.') return "hidden";
  if (entry.is_directory(error)) return entry.is_symlink(error) ? "a link to a directory" : "";
  if (!entry.exists(error)) return "a link that leads nowhere";
  if (!entry.is_regular_file(error)) return "not a regular file";
  if (is_other_format(entry.path())) return "weights in another format";
  if (entry.path().extension() == ".safetensors") return "weights that are no part of the model";
  if (name.ends_with(".index.json")) return "an index of weights that are not read";
  return "";
}

}  // namespace

std::vector<fs::directory_entry> entries_of(const fs::path& directory) {
  std::error_code error;
  std::vector<fs::directory_entry> entries;
  for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
    entries.push_back(*it);
  }
  if (error) fail_io(directory.native(), "list", error.value());
  return entries;
}

bool is_other_format(const fs::path& path) {
  const std::string extension = path.extension().native();
  return std::find(std::begin(kOtherFormats), std::end(kOtherFormats), extension) != std::end(kOtherFormats);
}

void list_other_files(ModelFiles& model, const std::vector<std::string>& read) {
  std::vector<fs::path> to_visit = {model.path};
  while (!to_visit.empty()) {
    const fs::path directory = std::move(to_visit.back());
    to_visit.pop_back();
    for (const fs::directory_entry& entry : entries_of(directory)) {
      const fs::path relative = entry.path().lexically_relative(model.path);
      if (relative == kConfigName || relative == kIndexName) continue;
      if (std::find(read.begin(), read.end(), relative.native()) != read.end()) continue;
      std::error_code error;
      if (std::string reason = reason_to_leave(entry); !reason.empty()) {
        model.left_behind.push_back({relative, std::move(reason)});
      } else if (entry.is_directory(error)) {
        to_visit.push_back(entry.path());
      } else {
        model.other_files.push_back(relative);
      }
    }
  }
  std::sort(model.other_files.begin(), model.other_files.end());
  std::sort(model.left_behind.begin(), model.left_behind.end(),
            [](const LeftBehind& a, const LeftBehind& b) { return a.path < b.path; });
}

}  // namespace mxfp4
