#include <algorithm>
#include <iterator>

#include "mxfp4/cli/quantize_report.h"

namespace mxfp4::cli {
namespace {

Json tensor_json(const job::PlannedTensor& tensor, bool done) {
  Json json = {{"name", tensor.name}, {"action", tensor.quantized ? "quantized" : "kept"}};
  if (!tensor.quantized) json["reason"] = tensor.reason;
  json["shape"] = tensor.shape;
  if (tensor.quantized) {
    json["rule"] = info(tensor.recipe.scale).name;
    if (tensor.weighted) json["importance"] = true;
    if (done) {
      json["blocks"] = tensor.stats.blocks;
      json["lossless_blocks"] = tensor.stats.lossless_blocks;
      json["sqnr_db"] = finite_or_null(tensor.stats.sqnr_db());
      json["saturated"] = tensor.stats.saturated;
    }
  }
  json["bits_per_weight"] = finite_or_null(tensor.bits_per_weight);
  json["bytes_in"] = tensor.bytes_in;
  json["bytes_out"] = tensor.bytes_out;
  return json;
}

Json scales_json(const ErrorStats& stats) {
  Json json = Json::object();
  for (std::size_t byte = 0; byte < std::size(stats.scales); ++byte) {
    if (stats.scales[byte] > 0) json[std::to_string(byte)] = stats.scales[byte];
  }
  return json;
}

}  // namespace

Json quantize_json(const job::QuantizeReport& report, bool done) {
  Json tensors = Json::array();
  for (const job::PlannedTensor& tensor : report.tensors) tensors.push_back(tensor_json(tensor, done));
  const auto quantized = std::count_if(report.tensors.begin(), report.tensors.end(),
                                       [](const job::PlannedTensor& tensor) { return tensor.quantized; });
  Json totals = {{"quantized", quantized},
                 {"kept", static_cast<std::int64_t>(report.tensors.size()) - quantized},
                 {"bytes_in", report.bytes_in},
                 {"bytes_out", report.bytes_out},
                 {"disk_needed", report.disk_needed},
                 {"disk_free", report.disk_free}};
  if (quantized > 0) totals["bits_per_weight"] = finite_or_null(report.bits_per_weight());
  Json json = {{"format", report.format}, {"dry_run", !done}, {"tensors", tensors}};
  if (done) {
    const ErrorStats total = report.total();
    totals["blocks"] = total.blocks;
    totals["lossless_blocks"] = total.lossless_blocks;
    totals["saturated"] = total.saturated;
    totals["median_sqnr_db"] = finite_or_null(report.median_sqnr_db());
    totals["scales"] = scales_json(total);
    totals["seconds"] = finite_or_null(report.seconds);
    totals["peak_memory_bytes"] = report.peak_memory;
    json["files"] = report.files;
  }
  json["totals"] = totals;
  json["left_behind"] = report.left_behind;
  return json;
}

}  // namespace mxfp4::cli
