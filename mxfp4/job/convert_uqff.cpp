#include <algorithm>
#include <cstring>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/container/uqff.h"
#include "mxfp4/job/convert_plan_internal.h"
#include "mxfp4/job/parts.h"
#include "mxfp4/job/preflight_internal.h"

namespace mxfp4::job {
namespace {

constexpr const char *kStem = "mxfp4", *kResidual = "residual.safetensors";
constexpr std::size_t kRest = 1;                             // the family of files that is not layers
constexpr std::uint64_t kMaxFile = std::uint64_t{10} << 30;  // bytes of a file of layers

/// A tensor of a few bytes.
Part bytes_part(safetensors::TensorSpec spec, std::string bytes) {
  Part part;
  part.outputs = {std::move(spec)};
  part.units = 1;
  part.run = [bytes = std::move(bytes)](std::size_t, std::byte*, const Write& write) {
    write(0, 0, std::as_bytes(std::span(bytes)));
  };
  return part;
}

template <class Number>
std::string bytes_of(Number value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

std::string module_of(const std::string& weight) {
  constexpr std::string_view kWeight = ".weight";
  return weight.ends_with(kWeight) ? weight.substr(0, weight.size() - kWeight.size()) : weight;
}

/// Both versions: what is MXFP4, with its bias, and what is not.
class Planner {
 public:
  Planner(const ConvertSource& source, const char* format, ConvertPlan& plan)
      : files_(source.checkpoint.files), format_(format), plan_(plan) {
    Output& output = plan.output;
    if (!plan.directory) {
      fail(ErrorCode::unsupported, "--format {}: {} is a single file, but UQFF is a directory", format,
           files_.path.native());
    }
    output.families = {
        {[](std::size_t number, std::size_t) { return fmt::format("{}-{}.uqff", kStem, number - 1); }, false,
         kMaxFile},
        {[](std::size_t, std::size_t) { return std::string(kResidual); }, true}};
    output.metadata = {{"format", "pt"}, {"uqff.producer", "mxfp4"}};
    // A config is taken over as it is, and that of a gpt-oss model says MXFP4.
    if (const std::string config = dense_config(source.checkpoint); !config.empty()) {
      const Convention& like = *find_convention(source.checkpoint.gpt_oss ? "gpt-oss" : "uqff");
      for (auto& [name, content] : like.texts({config, {}})) output.texts[name] = content;
    }
    check_holds(source, *find_convention("uqff"));
    tensors_ = assemble(source.pieces, [&](const Piece& piece) {
      return place_of(*find_convention("uqff"), source.checkpoint.gpt_oss, piece);
    });
    std::sort(tensors_.begin(), tensors_.end(),
              [](const Assembled& a, const Assembled& b) { return natural_less(a.name, b.name); });
  }

  const std::vector<Assembled>& tensors() const noexcept { return tensors_; }

  /// The bias of a quantised one, or null.
  const Assembled* bias_of(const Assembled& weight) const {
    const std::string name = weight.stacked ? weight.name + "_bias" : module_of(weight.name) + uqff::kBias;
    const auto found = std::find_if(tensors_.begin(), tensors_.end(),
                                    [&](const Assembled& tensor) { return tensor.name == name; });
    return found == tensors_.end() || found->is_quantized() || found->pieces[0]->weight->other != nullptr
               ? nullptr
               : &*found;
  }

  void move(Part part, const Assembled& tensor) {
    plan_.report.blocks += static_cast<std::uint64_t>(element_count(tensor.shape)) / kBlockSize;
    plan_.add(std::move(part), tensor, Conversion::moved);
  }

  /// Everything that is neither MXFP4 nor the bias of it.
  void add_rest() {
    std::vector<const Assembled*> biases;
    for (const Assembled& tensor : tensors_) {
      if (tensor.is_quantized()) biases.push_back(bias_of(tensor));
    }
    for (const Assembled& tensor : tensors_) {
      if (tensor.is_quantized() || std::find(biases.begin(), biases.end(), &tensor) != biases.end()) continue;
      const Weight& weight = *tensor.pieces[0]->weight;
      const bool expanded = weight.other != nullptr;
      Part part = expanded ? join_part(tensor.name, tensor, Dtype::bf16, files_)
                  : is_as_stored(tensor)
                      ? copy_part(tensor.name, *weight.stored, map_of(files_, *weight.stored))
                      : join_part(tensor.name, tensor, tensor.pieces[0]->dense.dtype, files_);
      part.family = kRest;
      plan_.add(std::move(part), tensor, expanded ? Conversion::expanded : Conversion::kept);
    }
  }

  template <class... Args>
  [[noreturn]] void refuse(fmt::format_string<Args...> reason, Args&&... args) const {
    fail(ErrorCode::unsupported, "--format {}: {}", format_,
         fmt::format(reason, std::forward<Args>(args)...));
  }

  const ModelFiles& files() const noexcept { return files_; }

 private:
  static bool is_as_stored(const Assembled& tensor) {
    const Piece& piece = *tensor.pieces[0];
    const Weight& weight = *piece.weight;
    if (weight.dense.data == nullptr) return true;
    return tensor.pieces.size() == 1 && piece.dense.contiguous() && piece.shape == weight.stored->shape;
  }

  const ModelFiles& files_;
  const char* format_;
  ConvertPlan& plan_;
  std::vector<Assembled> tensors_;
};

/// A layer of a gpt-oss model in one tensor, as UQFF 0.x has it.
Part blob_part(std::string name, const Assembled& weight, const Assembled* bias, const ModelFiles& files) {
  const uqff::BlobLayout layout =
      uqff::layout_blob(weight.shape, bias != nullptr ? std::optional(Dtype::f32) : std::nullopt);
  const Part codes = move_part(weight, {"", Dtype::u8, {0}}, {"", Dtype::u8, {0}}, files);
  const Part biases = bias != nullptr ? join_part("", *bias, Dtype::f32, files) : Part();
  Part part;
  part.outputs = {{std::move(name), Dtype::u8, {static_cast<std::int64_t>(layout.size)}}};
  part.units = 1 + codes.units + biases.units;
  part.unit_memory = std::max(codes.unit_memory, biases.unit_memory);
  part.input_bytes = codes.input_bytes + biases.input_bytes;
  part.run = [=](std::size_t unit, std::byte* scratch, const Write& write) {
    if (unit == 0) {
      for (const auto& [at, head] : layout.heads) write(0, at, std::as_bytes(std::span(head)));
    } else if (unit <= codes.units) {
      codes.run(unit - 1, scratch,
                [&](std::size_t output, std::uint64_t offset, std::span<const std::byte> bytes) {
                  write(0, (output == 0 ? layout.codes : layout.scales) + offset, bytes);
                });
    } else {
      biases.run(unit - 1 - codes.units, scratch,
                 [&](std::size_t, std::uint64_t offset, std::span<const std::byte> bytes) {
                   write(0, layout.bias + offset, bytes);
                 });
    }
  };
  return part;
}

}  // namespace

void plan_uqff(const ConvertSource& source, ConvertPlan& plan) {
  Planner planner(source, "uqff", plan);
  const auto add_note = [&](const std::string& name, Dtype dtype, std::string bytes) {
    plan.output.parts.push_back(bytes_part({name, dtype, {}}, std::move(bytes)));
  };
  for (std::size_t part = 0; part < uqff::kVersion.size(); ++part)
    add_note(uqff::kVersionNames[part], Dtype::u32, bytes_of(uqff::kVersion[part]));
  for (const Assembled& tensor : planner.tensors()) {
    if (!tensor.is_quantized()) continue;
    const std::string module = module_of(tensor.name);
    Shape codes = tensor.shape, scales = tensor.shape;
    codes.back() /= 2;
    scales.back() /= kBlockSize;
    planner.move(move_part(tensor, {module + uqff::kWeight, Dtype::u8, codes},
                           {module + uqff::kScales, Dtype::u8, scales}, planner.files()),
                 tensor);
    add_note(module + uqff::kFormat, Dtype::u8, bytes_of(uqff::kMxfp4));
    if (const Assembled* const bias = planner.bias_of(tensor)) {
      const Dtype dtype = tensor.stacked ? Dtype::f32 : bias->pieces[0]->dense.dtype;
      plan.add(join_part(module + uqff::kBias, *bias, dtype, planner.files()), *bias, Conversion::kept);
    }
  }
  planner.add_rest();
}

void plan_uqff_blobs(const ConvertSource& source, ConvertPlan& plan) {
  Planner planner(source, "uqff-0", plan);
  if (!source.checkpoint.gpt_oss || source.checkpoint.files.config.empty()) {
    planner.refuse(
        "blobs have no names, and only the shapes of a gpt-oss model with a config.json tell them apart");
  }
  // Layer by layer, down_proj before gate_up_proj: the order of their names.
  std::size_t number = 0;
  for (const Assembled& tensor : planner.tensors()) {
    if (!tensor.is_quantized()) continue;
    const std::string expected =
        fmt::format("model.layers.{}.mlp.experts.{}_proj", number / 2, number % 2 == 0 ? "down" : "gate_up");
    if (tensor.name != expected) {
      planner.refuse("blob {} is that of '{}', which is not MXFP4, but '{}' is", number, expected,
                     tensor.name);
    }
    planner.move(blob_part(std::to_string(number), tensor, planner.bias_of(tensor), planner.files()), tensor);
    ++number;
  }
  planner.add_rest();
}

}  // namespace mxfp4::job
