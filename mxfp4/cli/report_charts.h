// The charts of a report.
#pragma once

#include <string>

#include "mxfp4/cli/layer_grid.h"
#include "mxfp4/cli/report_summary.h"

namespace mxfp4::cli {

/// Rows of kinds, columns of layers, with a legend: the error, the share of codes that are +-6, of zeros.
std::string error_chart(const LayerGrid& grid);
std::string saturated_chart(const LayerGrid& grid);
std::string zeros_chart(const LayerGrid& grid);

/// A row per scale rule: the worst weight, the median, the best, beside those of the model.
std::string rules_chart(const ReportSummary& summary);

/// How often each scale byte, and each code, stands.
std::string scale_bytes_chart(const job::WeightNumbers& numbers);
std::string codes_chart(const job::WeightNumbers& numbers);

}  // namespace mxfp4::cli
