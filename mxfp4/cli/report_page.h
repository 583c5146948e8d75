// A report as one HTML page, and as JSON.
#pragma once

#include <string>

#include "mxfp4/cli/console.h"
#include "mxfp4/cli/report_summary.h"

namespace mxfp4::cli {

/// The page: everything it shows is in it. Depends on nothing but its arguments.
std::string report_page(const job::ReportRequest& request, const job::Report& report,
                        const ReportSummary& summary);

/// The same numbers.
Json report_json(const job::ReportRequest& request, const job::Report& report, const ReportSummary& summary);

}  // namespace mxfp4::cli
