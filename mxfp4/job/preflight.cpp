#include "mxfp4/base/fail_internal.h"
#include "mxfp4/base/memory.h"
#include "mxfp4/job/preflight_internal.h"

namespace mxfp4::job {

void check_kinds(const ModelFiles& in, const std::filesystem::path& out) {
  const bool file = out.extension() == ".safetensors";
  if (file != in.is_directory) return;
  fail(ErrorCode::invalid_argument, "{} is a {}, so OUT must be one too, not {}", in.path.native(),
       in.is_directory ? "directory" : ".safetensors file", out.native());
}

Output begin_output(const ModelFiles& in) {
  Output output;
  if (in.is_directory) {
    output.copy_from = in.path;
    output.copies = in.other_files;
  } else {
    output.metadata = in.files[0]->metadata;
    output.metadata.erase(kBareNamesKey);  // true of IN; said anew where it is true of OUT
  }
  return output;
}

DiskSpace check_space(const ModelFiles& in, const std::filesystem::path& out, const Output& output,
                      const Options& options) {
  check_output(in.path, out, in.is_directory, options.overwrite);
  const DiskSpace space{plan_shards(output, out, in.is_directory, options.max_shard).bytes,
                        available_disk(out)};
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
