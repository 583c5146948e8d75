#include <algorithm>
#include <cerrno>

#include <unistd.h>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/base/memory.h"
#include "mxfp4/job/model_card.h"
#include "mxfp4/job/preflight_internal.h"
#include "mxfp4/job/work_directory_internal.h"

namespace mxfp4::job {
namespace {

namespace fs = std::filesystem;

bool contains(const fs::path& outer, const fs::path& inner) {
  const auto [end, ignored] = std::mismatch(outer.begin(), outer.end(), inner.begin(), inner.end());
  return end == outer.end();
}

// Absolute, with symbolic links resolved as far as the path exists, and without a trailing slash.
fs::path resolved(const fs::path& path) {
  const fs::path full = fs::weakly_canonical(fs::absolute(path));
  return full.has_filename() ? full : full.parent_path();
}

bool holds_model(const fs::path& directory) {
  return std::any_of(fs::directory_iterator(directory), fs::directory_iterator(),
                     [](const auto& entry) { return entry.path().extension() == ".safetensors"; });
}

}  // namespace

void check_output(const fs::path& in, const fs::path& out, bool directory, bool overwrite) {
  const fs::path to = resolved(out);
  if (!in.empty()) {
    const fs::path from = resolved(in);
    if (from == to) fail(ErrorCode::invalid_argument, "{}: IN and OUT are the same", out.native());
    if (fs::is_directory(from) && contains(from, to)) {
      fail(ErrorCode::invalid_argument, "{}: OUT lies inside IN ({})", out.native(), in.native());
    }
    if (directory && contains(to, from)) {
      fail(ErrorCode::invalid_argument, "{}: IN ({}) lies inside OUT", out.native(), in.native());
    }
  }
  const fs::file_status status = fs::status(to);
  if (!fs::exists(status) && fs::is_symlink(fs::symlink_status(to))) {
    fail(ErrorCode::invalid_argument, "{}: is a link that leads nowhere", out.native());
  }
  if (fs::exists(status)) {
    if (fs::is_directory(status) != directory) {
      fail(ErrorCode::invalid_argument, "{}: is {}a directory, but OUT must be {}", out.native(),
           directory ? "not " : "", directory ? "one, as IN is" : "a .safetensors file, as IN is");
    }
    const bool empty_directory = directory && fs::is_empty(to);
    if (!empty_directory && !overwrite) {
      fail(ErrorCode::invalid_argument, "{}: exists already; --overwrite replaces it", out.native());
    }
    if (directory && !empty_directory && !holds_model(to)) {
      fail(ErrorCode::invalid_argument,
           "{}: holds no model; --overwrite will not replace a directory of other things", out.native());
    }
  }
  const fs::path parent = to.parent_path();
  if (!fs::is_directory(parent)) {
    fail(ErrorCode::io, "{}: cannot be created: {} is not a directory", out.native(), parent.native());
  }
  if (access(parent.c_str(), W_OK | X_OK) != 0) fail_io(parent.native(), "write to directory", errno);
}

bool writes_directory(const ModelFiles& in, const std::filesystem::path& out) {
  return in.is_directory || (in.container == kGguf && out.extension() != ".safetensors");
}

void check_kinds(const ModelFiles& in, const std::filesystem::path& out) {
  const bool file = out.extension() == ".safetensors";
  if (file != in.is_directory || in.container == kGguf) return;
  fail(ErrorCode::invalid_argument, "{} is a {}, so OUT must be one too, not {}", in.path.native(),
       in.is_directory ? "directory" : ".safetensors file", out.native());
}

Output begin_output(const ModelFiles& in, bool keeps_quantized) {
  Output output;
  for (const TensorFilePtr& file : in.files) output.inputs.push_back(&file->map);
  if (in.is_directory) {
    output.copy_from = in.path;
    output.copies = in.other_files;
    std::erase_if(output.copies,
                  [&](const fs::path& copy) {  // they would tell of weights that are not in OUT
                    return (copy == "hf_quant_config.json" && !keeps_quantized) ||
                           (copy == kCardName && is_model_card(in.path / copy));
                  });
    for (const fs::path& copy : output.copies) {
      const fs::path file = in.path / copy;
      if (access(file.c_str(), R_OK) != 0) fail_io(file.native(), "open", errno);
    }
    if (!in.config.empty())
      output.traits.emplace_back("config.json", to_string(stamp_of(in.path / "config.json")));
  } else if (in.container != kGguf) {  // whose metadata are the config and the tokenizer
    output.metadata = in.files[0]->metadata;
    output.metadata.erase(kBareNamesKey);  // true of IN; said anew where it is true of OUT
  }
  return output;
}

DiskSpace check_space(const ModelFiles& in, const std::filesystem::path& out, const Output& output,
                      const Options& options, bool directory) {
  check_output(in.path, out, directory, options.overwrite);
  const DiskSpace space{plan_shards(output, out, directory, options.max_shard).bytes,
                        available_disk(out) + bytes_left_by_earlier_run(followed(out))};
  if (space.needed > space.free) {
    fail(ErrorCode::io, "{}: needs {} bytes of disk space, but {} are free", out.native(), space.needed,
         space.free);
  }
  return space;
}

const MappedFile* map_of(const ModelFiles& files, const StoredTensor& tensor) noexcept {
  for (const TensorFilePtr& file : files.files) {
    const std::span<const std::byte> bytes = file->map.bytes();
    if (tensor.bytes.data() >= bytes.data() && tensor.bytes.data() <= bytes.data() + bytes.size())
      return &file->map;
  }
  return nullptr;
}

}  // namespace mxfp4::job
