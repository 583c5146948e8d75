// What the jobs that turn one checkpoint into another have in common.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "mxfp4/checkpoint/checkpoint.h"
#include "mxfp4/job/output.h"
#include "mxfp4/job/progress.h"

namespace mxfp4::job {

/// Checks that `out` may be written: it does not exist, or is an empty directory, or may be overwritten (for
/// a directory: holds a model); it is neither `in` nor inside nor around it; its parent is there and
/// writable. Throws Error invalid_argument, io.
void check_output(const std::filesystem::path& in, const std::filesystem::path& out, bool directory,
                  bool overwrite);

/// Whether OUT is a directory: as IN is, or, of GGUF, unless it is called .safetensors.
bool writes_directory(const ModelFiles& in, const std::filesystem::path& out);

/// IN and OUT must be of one kind, unless IN is GGUF. Throws Error invalid_argument.
void check_kinds(const ModelFiles& in, const std::filesystem::path& out);

/// An output that carries over what is no weight: the metadata of a bare file, the other files of a
/// directory. What tells of the quantised weights goes, unless they stay as they are.
Output begin_output(const ModelFiles& in, bool keeps_quantized = false);

/// Disk space an output asks for and finds, in bytes.
struct DiskSpace {
  std::uint64_t needed = 0, free = 0;
};

/// check_output(), and whether the disk holds it. `directory` says what OUT is. Throws Error
/// invalid_argument, io.
DiskSpace check_space(const ModelFiles& in, const std::filesystem::path& out, const Output& output,
                      const Options& options, bool directory);

/// The mapped file that a tensor stands in.
const MappedFile* map_of(const ModelFiles& files, const StoredTensor& tensor) noexcept;

}  // namespace mxfp4::job
