// What `mxfp4 quantize` tells about a plan and its result.
#pragma once

#include <string>

#include "mxfp4/cli/console.h"
#include "mxfp4/job/quantize_job.h"

namespace mxfp4::cli {

/// The object that --json prints. Before the run (`done` false) what only the run knows is absent.
Json quantize_json(const job::QuantizeReport& report, bool done);

/// The plan for people: what becomes of every tensor, with sizes and bits per weight.
std::string plan_text(const job::QuantizeRequest& request, const job::QuantizeReport& plan,
                      const Screen& screen);

/// The result for people: sizes, errors, scales, what was kept.
std::string summary_text(const job::QuantizeRequest& request, const job::QuantizeReport& report,
                         const Screen& screen);

}  // namespace mxfp4::cli
