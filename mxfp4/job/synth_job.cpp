#include "mxfp4/job/synth_job.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/base/memory.h"
#include "mxfp4/checkpoint/config.h"
#include "mxfp4/checkpoint/convention.h"
#include "mxfp4/codec/float16.h"
#include "mxfp4/job/preflight_internal.h"
#include "mxfp4/job/stream.h"
#include "mxfp4/job/synth_model_internal.h"
#include "mxfp4/job/synth_weights_internal.h"
#include "mxfp4/tensor/mxfp4_tensor.h"

namespace mxfp4::job {
namespace {

constexpr std::size_t kUnitBytes = 1 << 20;
constexpr std::size_t kUnitBlocks = 1 << 15;
constexpr std::size_t kCodeBytes = kBlockSize / 2;  // of a block
constexpr std::int64_t kMaxSize = 1 << 20;          // of a dimension that a caller chooses
constexpr std::int64_t kMaxLayers = 1000;

GptOssSize size_of(const SynthRequest& request) {
  const auto known = gpt_oss_sizes();
  const auto found = std::find_if(known.begin(), known.end(),
                                  [&](const GptOssSize& size) { return request.like == size.name; });
  if (found == known.end()) {
    fail(ErrorCode::invalid_argument, "no model '{}' to make up; there are {}", request.like,
         fmt::join(synth_models(), ", "));
  }
  GptOssSize size = *found;
  const auto replace = [](std::int64_t& value, std::int64_t wanted, std::int64_t most, const char* what) {
    if (wanted < 0 || wanted > most) {
      fail(ErrorCode::invalid_argument, "{}: {} must lie between 1 and {}", what, wanted, most);
    }
    if (wanted > 0) value = wanted;
  };
  replace(size.layers, request.layers, kMaxLayers, "layers");
  replace(size.experts, request.experts, kMaxSize, "experts");
  replace(size.hidden, request.hidden_size, kMaxSize, "hidden size");
  replace(size.intermediate, request.intermediate_size, kMaxSize, "intermediate size");
  for (const auto& [value, what] : {std::pair{size.hidden, "hidden"}, {size.intermediate, "intermediate"}}) {
    if (request.quantized && value % kBlockSize != 0) {
      fail(ErrorCode::invalid_argument, "{} size {}: MXFP4 experts need a multiple of {}", what, value,
           kBlockSize);
    }
  }
  return size;
}

std::size_t units_of(std::uint64_t total, std::size_t per_unit) {
  return static_cast<std::size_t>((total + per_unit - 1) / per_unit);
}

Part bf16_part(std::uint64_t seed, const Parameter& parameter) {
  Part part;
  part.outputs = {{parameter.name, Dtype::bf16, parameter.shape}};
  // gpt-oss holds unquantised experts transposed, [E, K, N].
  Shape& shape = part.outputs[0].shape;
  if (parameter.kind == Parameter::Kind::experts) std::swap(shape[1], shape[2]);
  const std::uint64_t bytes = part.outputs[0].bytes();
  part.units = units_of(bytes, kUnitBytes);
  part.unit_memory = static_cast<std::size_t>(std::min<std::uint64_t>(bytes, kUnitBytes));
  part.input_bytes = bytes;
  part.run = [=](std::size_t unit, std::byte* scratch, const Write& write) {
    const std::uint64_t begin = unit * static_cast<std::uint64_t>(kUnitBytes);
    const std::span out(scratch,
                        static_cast<std::size_t>(std::min<std::uint64_t>(kUnitBytes, bytes - begin)));
    if (parameter.kind == Parameter::Kind::norm) {
      const std::uint16_t one = f32_to_bf16(1.0f);
      for (std::size_t i = 0; i < out.size(); ++i) out[i] = std::byte(i % 2 == 0 ? one & 0xFF : one >> 8);
    } else {
      random_bf16(random_key(seed, parameter.name, unit), out);
    }
    write(0, begin, out);
  };
  return part;
}

Part mxfp4_part(std::uint64_t seed, const Parameter& parameter, const Convention& convention) {
  Shape scales = parameter.shape;
  scales.back() /= kBlockSize;
  const auto blocks = static_cast<std::uint64_t>(element_count(scales));
  const auto most = static_cast<std::size_t>(std::min<std::uint64_t>(blocks, kUnitBlocks));
  Part part;
  part.outputs = {{parameter.name + convention.codes_suffix, convention.codes_dtype,
                   convention.shape_of_codes(parameter.shape)},
                  {parameter.name + convention.scales_suffix, convention.scales_dtype, scales}};
  part.units = units_of(blocks, kUnitBlocks);
  part.unit_memory = most * (kCodeBytes + 1);
  part.input_bytes = blocks * (kCodeBytes + 1);
  part.run = [=](std::size_t unit, std::byte* scratch, const Write& write) {
    const std::uint64_t begin = unit * static_cast<std::uint64_t>(kUnitBlocks);
    const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(kUnitBlocks, blocks - begin));
    const std::span unit_codes(scratch, count * kCodeBytes);
    const std::span unit_scales(scratch + count * kCodeBytes, count);
    random_mxfp4(random_key(seed, parameter.name, unit), unit_codes, unit_scales);
    write(0, begin * kCodeBytes, unit_codes);
    write(1, begin, unit_scales);
  };
  return part;
}

}  // namespace

std::vector<std::string> synth_models() {
  std::vector<std::string> names;
  for (const GptOssSize& size : gpt_oss_sizes()) names.emplace_back(size.name);
  return names;
}

SynthReport run_synth(const SynthRequest& request) {
  const auto start = std::chrono::steady_clock::now();
  const GptOssSize size = size_of(request);
  const Convention& convention = *find_convention("gpt-oss");
  if (request.out.extension() == ".safetensors") {
    fail(ErrorCode::invalid_argument, "{}: OUT is to be a model directory, not a .safetensors file",
         request.out.native());
  }
  check_output({}, request.out, true, request.options.overwrite);

  Output output;
  output.traits = {{"the model", fmt::format("{} layers, {} experts, sizes {} and {}", size.layers,
                                             size.experts, size.hidden, size.intermediate)},
                   {"--dtype", request.quantized ? "mxfp4" : "bf16"},
                   {"--seed", std::to_string(request.seed)}};
  for (const Parameter& parameter : gpt_oss_parameters(size)) {
    const bool quantized = request.quantized && parameter.kind == Parameter::Kind::experts;
    output.parts.push_back(quantized ? mxfp4_part(request.seed, parameter, convention)
                                     : bf16_part(request.seed, parameter));
  }
  output.texts = tokenizer_files();
  output.texts["config.json"] = gpt_oss_config(size);
  if (request.quantized) {
    const std::vector<std::string> left_alone = {"model.layers.*.self_attn", "model.layers.*.mlp.router",
                                                 "model.embed_tokens", "lm_head"};
    const std::string config = output.texts["config.json"];
    for (const auto& [name, text] : convention.texts({config, left_alone})) output.texts[name] = text;
  }

  SynthReport report;
  for (const Part& part : output.parts) report.tensors += part.outputs.size();
  report.bytes = plan_shards(output, request.out, true, request.options.max_shard).bytes;
  const std::uint64_t free = available_disk(request.out);
  if (report.bytes > free) {
    fail(ErrorCode::io, "{}: the model needs {} bytes, the disk has {} left", request.out.native(),
         report.bytes, free);
  }
  const Written written = write_output(output, request.out, true, request.options);
  report.files = written.files;
  report.peak_memory = written.peak_memory;
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

}  // namespace mxfp4::job
