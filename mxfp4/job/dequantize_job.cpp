#include "mxfp4/job/dequantize_job.h"

#include <chrono>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/checkpoint/checkpoint.h"
#include "mxfp4/job/parts.h"
#include "mxfp4/job/preflight_internal.h"
#include "mxfp4/job/stream.h"

namespace mxfp4::job {

DequantizeReport run_dequantize(const DequantizeRequest& request) {
  const auto start = std::chrono::steady_clock::now();
  const Checkpoint checkpoint = open_checkpoint(request.in);
  check_readable(checkpoint);
  if (!checkpoint.has_quantized && checkpoint.other_format.empty()) {
    fail(ErrorCode::invalid_argument, "{}: holds no MXFP4 weight to dequantise ({})", request.in.native(),
         checkpoint.convention_name());
  }
  check_kinds(checkpoint.files, request.out);

  DequantizeReport report;
  report.convention = checkpoint.convention_name();
  report.dtype = request.dtype.value_or(checkpoint.config.dtype.value_or(Dtype::bf16));
  if (!is_dense_float(report.dtype)) report.dtype = Dtype::bf16;

  const bool directory = writes_directory(checkpoint.files, request.out);
  Output output = begin_output(checkpoint.files);
  if (directory && checkpoint.files.derived) output.texts = checkpoint.files.derived();
  output.traits.emplace_back("--dtype", to_string(report.dtype));
  for (const LeftBehind& left : checkpoint.files.left_behind) {
    report.left_behind.push_back(fmt::format("{} ({})", left.path.native(), left.reason));
  }
  for (const Weight& weight : checkpoint.weights) {
    const MappedFile* const map = map_of(checkpoint.files, *weight.stored);
    const bool expanded = weight.is_quantized() || weight.other != nullptr;
    const bool transposed = weight.is_quantized() && dense_is_transposed(checkpoint, weight);
    const std::string name = dense_name(checkpoint, weight);
    Part part = weight.is_quantized() ? dequantize_part(name, weight.quantized, report.dtype, transposed, map)
                : weight.other != nullptr ? expand_part(name, weight.other, report.dtype)
                                          : copy_part(name, *weight.stored, map);
    const safetensors::TensorSpec& spec = part.outputs[0];
    report.tensors.push_back({spec.name, expanded, spec.dtype, spec.shape});
    report.bytes_in += part.input_bytes;
    report.bytes_out += spec.bytes();
    output.parts.push_back(std::move(part));
  }
  if (directory && !checkpoint.files.config.empty())
    output.texts["config.json"] =
        with_member(with_quantization(checkpoint.files.config, "", request.dtype), "expert_dtype", "");

  check_space(checkpoint.files, request.out, output, request.options, directory);
  const Written written = write_output(output, request.out, directory, request.options);
  report.files = written.files;
  report.peak_memory = written.peak_memory;
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

}  // namespace mxfp4::job
