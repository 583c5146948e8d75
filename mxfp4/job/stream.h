// Parts to files: sharded, in parallel, in bounded memory, whole or not at all.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "mxfp4/base/context.h"
#include "mxfp4/job/output.h"
#include "mxfp4/job/progress.h"

namespace mxfp4::job {

/// What was written.
struct Written {
  std::vector<std::string> files;  ///< relative to OUT; the file's own name for a bare one
  std::uint64_t peak_memory = 0;   ///< bytes of anonymous memory
};

/// What runs the units of an output: threads and instruction set, and the scratch memory of each thread.
struct Workers {
  Context context;
  std::size_t unit_memory = 0;
};

/// As many as are allowed, useful and affordable. Throws Error out_of_memory if not even one unit fits
/// options.max_memory, and what default_isa() throws.
Workers plan_workers(const Output& output, const Options& options);

/// Writes a directory (shards, an index if there are several, texts, copies) or a bare file. A directory is
/// made under a temporary name and renamed at the end. After an error or a stop that may pass (full disk, no
/// memory) its finished shards stay under that name, and options.resume goes on from them; whatever else was
/// begun is deleted. Throws Error io, also if an input is changed meanwhile; out_of_memory if not even one
/// unit fits max_memory; interrupted; invalid_argument for a resume of something else; and whatever a part
/// throws.
Written write_output(const Output& output, const std::filesystem::path& out, bool directory,
                     const Options& options);

}  // namespace mxfp4::job
