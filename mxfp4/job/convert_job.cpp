#include "mxfp4/job/convert_job.h"

#include <algorithm>
#include <chrono>
#include <memory>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/container/uqff.h"
#include "mxfp4/job/convert_plan_internal.h"
#include "mxfp4/job/preflight_internal.h"
#include "mxfp4/job/stream.h"

namespace mxfp4::job {
namespace {

struct Prepared {
  ConvertSource source;
  ConvertPlan plan;
  bool directory = true;  ///< what OUT is
};

const ConvertFormat* find_other(std::string_view name) {
  for (const ConvertFormat& format : other_formats()) {
    if (name == format.name) return &format;
  }
  return nullptr;
}

/// The format that would write IN as it is stored.
std::string stored_format(const Checkpoint& checkpoint) {
  const std::vector<TensorFilePtr>& files = checkpoint.files.files;
  const bool blobs = std::any_of(files.begin(), files.end(), [](const TensorFilePtr& file) {
    return file->metadata.find(uqff::kBlobVersionKey) != file->metadata.end();
  });
  return blobs && checkpoint.convention == find_convention("uqff") ? "uqff-0" : checkpoint.convention->name;
}

void open_source(const ConvertRequest& request, ConvertSource& source) {
  Checkpoint& checkpoint = source.checkpoint;
  checkpoint = open_checkpoint(request.in, request.from);
  check_readable(checkpoint);
  if (!checkpoint.has_quantized) {
    fail(ErrorCode::invalid_argument, "{}: holds no MXFP4 weight to convert ({}); {} makes them",
         request.in.native(), checkpoint.convention_name(),
         checkpoint.other_format.empty() ? "quantize" : "dequantize, then quantize,");
  }
  if (checkpoint.or_else != nullptr) {
    fail(ErrorCode::invalid_argument, "{}: may be {} or {}, and no config.json tells; --from says which",
         request.in.native(), checkpoint.convention->name, checkpoint.or_else->name);
  }
  if (stored_format(checkpoint) == request.format) {
    fail(ErrorCode::invalid_argument, "{}: is stored as {} already", request.in.native(), request.format);
  }
  source.pieces = pieces_of(checkpoint);
}

/// The plan, and the source that it reads, which stays where it is.
std::unique_ptr<Prepared> prepare(const ConvertRequest& request) {
  auto prepared = std::make_unique<Prepared>();
  const Convention* const convention = find_convention(request.format);
  const ConvertFormat* const other = find_other(request.format);
  if (convention == nullptr && other == nullptr) {
    fail(ErrorCode::invalid_argument, "--format {}: unknown; there are {}", request.format,
         fmt::join(convert_formats(), ", "));
  }
  ConvertSource& source = prepared->source;
  open_source(request, source);
  const ModelFiles& files = source.checkpoint.files;
  if (other != nullptr && other->extension != nullptr) {
    prepared->directory = false;
    if (request.out.extension() != other->extension) {
      fail(ErrorCode::invalid_argument, "{}: OUT is to be a {} file", request.out.native(), other->extension);
    }
  } else {
    check_kinds(files, request.out);
    prepared->directory = writes_directory(files, request.out);
  }
  ConvertPlan& plan = prepared->plan;
  plan.report.from = stored_format(source.checkpoint);
  plan.report.format = request.format;
  for (const LeftBehind& left : files.left_behind)
    plan.report.left_behind.push_back(fmt::format("{} ({})", left.path.native(), left.reason));
  plan.directory = prepared->directory;
  plan.options = &request.options;
  plan.output = begin_output(files);
  if (plan.directory && files.derived) plan.output.texts = files.derived();
  plan.output.traits.emplace_back("--format", request.format);
  plan.output.traits.emplace_back("--from", plan.report.from);
  other != nullptr ? other->plan(source, plan) : plan_convention(source, *convention, plan);
  const DiskSpace space = check_space(files, request.out, plan.output, request.options, prepared->directory);
  plan.report.disk_needed = space.needed;
  plan.report.disk_free = space.free;
  return prepared;
}

}  // namespace

const char* action_name(Conversion conversion) noexcept {
  constexpr const char* kNames[] = {"moved", "reencoded", "kept", "expanded"};
  return kNames[static_cast<int>(conversion)];
}

std::uint64_t ConvertReport::count(Conversion conversion) const noexcept {
  return static_cast<std::uint64_t>(
      std::count_if(tensors.begin(), tensors.end(),
                    [&](const ConvertedTensor& tensor) { return tensor.conversion == conversion; }));
}

void ConvertPlan::add(Part part, const Assembled& tensor, Conversion conversion) {
  report.tensors.push_back({part.outputs[0].name, conversion, part.outputs[0].dtype, tensor.shape});
  report.bytes_in += part.input_bytes;
  for (const safetensors::TensorSpec& spec : part.outputs) report.bytes_out += spec.bytes();
  output.parts.push_back(std::move(part));
}

std::vector<std::string> convert_formats() {
  std::vector<std::string> names;
  for (const Convention& convention : conventions()) {
    if (!convention.own_files) names.emplace_back(convention.name);
  }
  for (const ConvertFormat& format : other_formats()) names.emplace_back(format.name);
  return names;
}

ConvertReport plan_convert(const ConvertRequest& request) {
  const auto prepared = prepare(request);
  plan_workers(prepared->plan.output, request.options);
  return prepared->plan.report;
}

ConvertReport run_convert(const ConvertRequest& request) {
  const auto start = std::chrono::steady_clock::now();
  const auto prepared = prepare(request);
  ConvertReport& report = prepared->plan.report;
  if (!report.ok()) return std::move(report);
  Output& output = prepared->plan.output;
  if (request.verify) {
    output.check = [&](const std::filesystem::path& written) {
      check_converted(prepared->source, written, request.format, request.options);
      report.verified = true;
    };
  }
  const Written written = write_output(output, request.out, prepared->directory, request.options);
  report.files = written.files;
  report.peak_memory = written.peak_memory;
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return std::move(report);
}

}  // namespace mxfp4::job
