#include "mxfp4/job/quantize_job.h"

#include <algorithm>
#include <chrono>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/job/model_card.h"
#include "mxfp4/job/preflight_internal.h"
#include "mxfp4/job/quantize_plan_internal.h"
#include "mxfp4/job/stream.h"

namespace mxfp4::job {
namespace {

bool wants_card(const QuantizeRequest& request, const QuantizePlan& plan) {
  const auto& copies = plan.output.copies;
  return request.card && plan.checkpoint.files.is_directory &&
         std::find(copies.begin(), copies.end(), kCardName) == copies.end();
}

std::string model_name(const std::filesystem::path& directory) {
  const std::filesystem::path full = std::filesystem::absolute(directory).lexically_normal();
  return (full.has_filename() ? full : full.parent_path()).filename().native();
}

void check(const QuantizeRequest& request, QuantizePlan& plan) {
  const DiskSpace space = check_space(plan.checkpoint.files, request.out, plan.output, request.options,
                                      plan.checkpoint.files.is_directory);
  plan.report.disk_needed = space.needed;
  plan.report.disk_free = space.free;
  const auto& tensors = plan.report.tensors;
  const bool nothing =
      std::none_of(tensors.begin(), tensors.end(), [](const auto& tensor) { return tensor.quantized; });
  if (nothing && request.options.progress != nullptr) {
    request.options.progress->warn("no tensor is quantised: OUT is a copy of IN");
  }
}

}  // namespace

QuantizeReport plan_quantize(const QuantizeRequest& request) {
  QuantizePlan plan = make_plan(request);
  check(request, plan);
  plan_workers(plan.output, request.options);
  return plan.report;
}

QuantizeReport run_quantize(const QuantizeRequest& request) {
  const auto start = std::chrono::steady_clock::now();
  QuantizePlan plan = make_plan(request);
  check(request, plan);
  plan.output.finish = [&](std::map<std::string, std::string>& texts) {
    for (std::size_t i = 0; i < plan.stats.size(); ++i) {
      for (const auto& part : plan.stats[i]) plan.report.tensors[i].stats.add(part->total());
    }
    if (wants_card(request, plan)) texts[kCardName] = model_card(model_name(request.in), plan.report);
  };
  const Written written =
      write_output(plan.output, request.out, plan.checkpoint.files.is_directory, request.options);
  plan.report.files = written.files;
  plan.report.peak_memory = written.peak_memory;
  plan.report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return plan.report;
}

}  // namespace mxfp4::job
