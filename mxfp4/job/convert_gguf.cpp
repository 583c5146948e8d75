#include <algorithm>
#include <map>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/checkpoint/gguf_config.h"
#include "mxfp4/checkpoint/gguf_files_internal.h"
#include "mxfp4/checkpoint/gguf_names.h"
#include "mxfp4/checkpoint/gguf_tokenizer.h"
#include "mxfp4/container/gguf_layout.h"
#include "mxfp4/job/convert_plan_internal.h"
#include "mxfp4/job/parts.h"
#include "mxfp4/job/preflight_internal.h"

namespace mxfp4::job {
namespace {

namespace fs = std::filesystem;

constexpr const char* kArchitecture = "gpt-oss";
constexpr std::size_t kMaxSmallFile = std::size_t{256} << 20;

template <class... Args>
[[noreturn]] void refuse(fmt::format_string<Args...> reason, Args&&... args) {
  fail(ErrorCode::unsupported, "--format gguf: {}", fmt::format(reason, std::forward<Args>(args)...));
}

/// What each tensor of the file is, by name: Part::outputs are in bytes.
using Specs = std::map<std::string, gguf::TensorSpec, std::less<>>;

std::uint32_t type_of(Dtype dtype, std::string_view name) {
  switch (dtype) {
    case Dtype::f32:
      return gguf::kF32;
    case Dtype::f16:
      return gguf::kF16;
    case Dtype::bf16:
      return gguf::kBf16;
    default:
      refuse("'{}' is {}, not F32, F16 or BF16", name, to_string(dtype));
  }
}

/// Vectors, biases and the router are computed with in F32 by llama.cpp; its other matrices stay as they are.
Dtype dtype_of(const Assembled& tensor, std::string_view name) {
  const bool widened =
      tensor.shape.size() == 1 || name.ends_with(".bias") || name.ends_with(".ffn_gate_inp.weight");
  const Dtype own = tensor.pieces[0]->dense.dtype;
  return widened && is_dense_float(own) ? Dtype::f32 : own;
}

void add_tensor(const ConvertSource& source, const Assembled& tensor, ConvertPlan& plan, Specs& specs) {
  const std::string name = to_llama_cpp_name(*find_llama_cpp_architecture(kArchitecture), tensor.name);
  if (name.empty()) refuse("llama.cpp's gpt-oss has no name for '{}'", tensor.name);
  const ModelFiles& files = source.checkpoint.files;
  const Weight& weight = *tensor.pieces[0]->weight;
  gguf::TensorSpec spec{name, gguf::kMxfp4, tensor.shape};
  if (tensor.is_quantized()) {
    plan.report.blocks += static_cast<std::uint64_t>(element_count(tensor.shape)) / kBlockSize;
    plan.add(ggml_part(name, tensor, files), tensor, Conversion::moved);
  } else if (weight.other != nullptr) {
    spec.type = gguf::kBf16;
    plan.add(join_part(name, tensor, Dtype::bf16, files), tensor, Conversion::expanded);
  } else {
    const Dtype dtype = dtype_of(tensor, name);
    spec.type = type_of(dtype, tensor.name);
    const bool as_stored = tensor.pieces.size() == 1 && dtype == weight.stored->dtype &&
                           weight.dense.contiguous() && tensor.shape == weight.stored->shape;
    plan.add(as_stored ? copy_part(name, *weight.stored, map_of(files, *weight.stored))
                       : join_part(name, tensor, dtype, files),
             tensor, Conversion::kept);
  }
  specs.emplace(name, std::move(spec));
}

SmallFiles small_files(const ModelFiles& files) {
  SmallFiles found;
  for (const char* const name : kTokenizerFiles) {
    std::error_code error;
    if (files.is_directory && fs::exists(files.path / name, error))
      found[name] = read_file(files.path / name, kMaxSmallFile);
  }
  return found;
}

/// The name of the model's directory.
std::string model_name(const fs::path& path) {
  const fs::path full = fs::weakly_canonical(fs::absolute(path));
  return full.has_filename() ? full.filename().native() : full.parent_path().filename().native();
}

std::uint32_t vocabulary_of(const ConvertSource& source) {
  const std::optional<std::int64_t> size = source.checkpoint.config.vocabulary;
  if (!size) refuse("config.json does not say vocab_size");
  return static_cast<std::uint32_t>(*size);
}

}  // namespace

void plan_gguf(const ConvertSource& source, ConvertPlan& plan) {
  const Checkpoint& checkpoint = source.checkpoint;
  if (!checkpoint.gpt_oss || checkpoint.files.config.empty()) {
    refuse(
        "{} is no gpt-oss model with a config.json, and of other models the names and metadata are not known",
        checkpoint.files.path.native());
  }
  const std::vector<Assembled> tensors =
      assemble(source.pieces, [&](const Piece& piece) { return place_of(gguf_convention(), true, piece); });
  Specs specs;
  for (const Assembled& tensor : tensors) add_tensor(source, tensor, plan, specs);

  const std::string where = checkpoint.files.path.native();
  gguf::Metadata metadata = gguf_metadata(dense_config(checkpoint), model_name(checkpoint.files.path), true,
                                          where + "/config.json");
  const std::string missing =
      add_tokenizer(metadata, small_files(checkpoint.files), vocabulary_of(source), where);
  if (!missing.empty())
    plan.report.left_behind.push_back(
        fmt::format("the tokenizer ({}; llama.cpp will load the model and read no text)", missing));
  Output& output = plan.output;
  for (const fs::path& copy : output.copies) {
    const bool taken =
        std::find(std::begin(kTokenizerFiles), std::end(kTokenizerFiles), copy) != std::end(kTokenizerFiles);
    if (!taken) plan.report.left_behind.push_back(fmt::format("{} (GGUF is one file)", copy.native()));
  }
  output.copies.clear();
  output.layout = [specs = std::move(specs), metadata = std::move(metadata)](
                      std::span<const safetensors::TensorSpec> parts,
                      const std::map<std::string, std::string>&) {
    std::vector<gguf::TensorSpec> in_order;
    for (const safetensors::TensorSpec& part : parts) in_order.push_back(specs.at(part.name));
    gguf::Layout layout = gguf::layout(in_order, metadata);
    return safetensors::Layout{std::move(layout.head), std::move(layout.offsets), layout.size};
  };
}

}  // namespace mxfp4::job
