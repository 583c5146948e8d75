// What `convert` can write: a table, one row each.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mxfp4/checkpoint/pieces.h"
#include "mxfp4/job/output.h"

namespace mxfp4::job {

/// A model to be converted, understood.
struct ConvertSource {
  const Checkpoint& checkpoint;
  const std::vector<Piece>& pieces;
};

/// Everything that a format has to decide: the parts of `output` (each has moved rows of pieces, see
/// assembly_internal.h), texts, copies, metadata, and how its files are laid out and called. What the format
/// cannot hold is refused with Error unsupported and the reason.
struct ConvertPlan {
  Output output;
  std::vector<std::string> notes;  ///< what a person should know: "9 FP8 weights become BF16"
};

struct ConvertFormat {
  const char* name;       ///< of --format: "gguf"
  const char* extension;  ///< ".gguf" if OUT is one file of that kind; null if it is a directory
  void (*plan)(const ConvertSource& source, ConvertPlan& plan);
};

/// Formats that are more than a Convention: a file of their own each. Every Convention that is written is a
/// format, too.
std::span<const ConvertFormat> other_formats() noexcept;

}  // namespace mxfp4::job
