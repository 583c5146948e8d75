// From a conversion to the parts that fulfil it; what a format has to decide.
#pragma once

#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mxfp4/checkpoint/pieces.h"
#include "mxfp4/job/assembly_internal.h"
#include "mxfp4/job/convert_job.h"
#include "mxfp4/job/output.h"

namespace mxfp4::job {

/// A model to be converted, understood. What it points to outlives the conversion.
struct ConvertSource {
  Checkpoint checkpoint;
  std::vector<Piece> pieces;  ///< of the checkpoint
};

/// What a format has decided. Its parts read from the source.
struct ConvertPlan {
  Output output;
  ConvertReport report;
  bool directory = true;             ///< whether OUT is one; else one file
  const Options* options = nullptr;  ///< for what has to be read before it is known whether OUT can be made

  void add(Part part, const Assembled& tensor, Conversion conversion);
};

/// A format that is more than a Convention: each has a file of its own, convert_<name>.cpp, and a row in the
/// table in convert_formats.cpp. Every Convention is a format, too (plan_convention).
struct ConvertFormat {
  const char* name;       ///< of --format: "gguf"
  const char* extension;  ///< ".gguf" if OUT is one such file; null if it is a directory
  /// Fills plan.output, which begin_output() has begun: parts, texts, copies, metadata, layout. What the
  /// format cannot hold is refused with Error unsupported.
  void (*plan)(const ConvertSource& source, ConvertPlan& plan);
};
std::span<const ConvertFormat> other_formats() noexcept;

/// One GGUF file, of a gpt-oss model.
void plan_gguf(const ConvertSource& source, ConvertPlan& plan);

/// A UQFF directory of version 1.2, and one of blobs, version 0.2, of a gpt-oss model.
void plan_uqff(const ConvertSource& source, ConvertPlan& plan);
void plan_uqff_blobs(const ConvertSource& source, ConvertPlan& plan);

/// FP8 in tiles of 128 x 128, and NVFP4 as compressed-tensors has it: values that are encoded anew, each of
/// them checked first.
void plan_fp8(const ConvertSource& source, ConvertPlan& plan);
void plan_nvfp4(const ConvertSource& source, ConvertPlan& plan);

/// Makes the tensors of a weight that is MXFP4.
using MakePart = std::function<Part(const Assembled& weight, const StoredNames& names)>;

/// Fills the plan for a convention in safetensors. Throws Error unsupported with the reason if it cannot hold
/// the model. With `reencode`, `format` has the names, dtypes and config of another quantisation than MXFP4.
void plan_convention(const ConvertSource& source, const Convention& format, ConvertPlan& plan,
                     const MakePart& reencode = nullptr);

/// Whether every MXFP4 weight of the model is one that DeepSeek-V4 has: an expert of layers.N.ffn.experts.
bool is_deepseek(const ConvertSource& source);

/// Throws Error unsupported if a weight of the model is none that the convention stores as MXFP4.
void check_holds(const ConvertSource& source, const Convention& format);

/// Text of a config.json in transformers' terms that says nothing of a quantisation; empty if there is none.
std::string dense_config(const Checkpoint& checkpoint);

/// Opens what was written as `format` and compares it with the source: every block and every number, exactly.
/// Throws Error io where it differs, and what open_checkpoint throws.
void check_converted(const ConvertSource& source, const std::filesystem::path& out, std::string_view format,
                     const Options& options);

}  // namespace mxfp4::job
