#include <fmt/format.h>

#include "mxfp4/cli/findings.h"
#include "mxfp4/cli/layer_grid.h"
#include "mxfp4/cli/report_page.h"

namespace mxfp4::cli {
namespace {

using job::WeightNumbers;

Json scales_json(const WeightNumbers& numbers) {
  Json json = Json::object();
  for (std::size_t byte = 0; byte < numbers.scales.size(); ++byte) {
    if (numbers.scales[byte] > 0) json[std::to_string(byte)] = numbers.scales[byte];
  }
  return json;
}

// What is known of a weight, a cell of the grid, or all.
void add_numbers(Json& json, const WeightNumbers& numbers) {
  json["elements"] = numbers.elements;
  json["blocks"] = numbers.blocks();
  json["saturated"] = numbers.saturated();
  json["zeros"] = numbers.zeros();
  json["zero_blocks"] = numbers.zero_blocks;
  json["nan_blocks"] = numbers.nan_blocks();
  if (!numbers.compared) return;
  json["sqnr_db"] = finite_or_null(numbers.error.sqnr_db());
  json["max_error"] = finite_or_null(numbers.max_error);
}

Json trial_json(const job::Trial& trial) {
  Json rules = Json::object();
  for (const ScaleRuleInfo& rule : kScaleRules)
    rules[rule.name] = finite_or_null(trial.rules[static_cast<std::size_t>(rule.rule)].error.sqnr_db());
  return {{"elements", trial.elements},
          {"sqnr_db", finite_or_null(trial.error.sqnr_db())},
          {"sqnr_db_by_rule", rules}};
}

Json spread_json(const Spread& spread) {
  return {{"worst", finite_or_null(spread.worst)},
          {"median", finite_or_null(spread.median)},
          {"best", finite_or_null(spread.best)}};
}

Json grid_json(const LayerGrid& grid) {
  Json cells = Json::array();
  for (const Kind& kind : grid.kinds) {
    for (const auto& [layer, numbers] : kind.layers) {
      Json cell = {{"kind", kind.name}};
      if (layer != kNoLayer) cell["layer"] = layer;
      cell["tensors"] = numbers.weights;
      add_numbers(cell, numbers);
      cells.push_back(std::move(cell));
    }
  }
  return cells;
}

}  // namespace

Json report_json(const job::ReportRequest& request, const job::Report& report, const ReportSummary& summary) {
  Json json = {{"path", request.path.native()}};
  if (!request.against.empty()) json["against"] = request.against.native();
  json["convention"] = report.convention;
  json["verdict"] = {{"grade", to_string(summary.grade)}, {"text", summary.verdict}};
  json["problems"] = findings_json(report.problems);
  Json totals = {{"tensors", summary.total.weights}, {"kept", report.kept}};
  add_numbers(totals, summary.total);
  totals["codes"] = summary.total.codes;
  totals["scales"] = scales_json(summary.total);
  json["totals"] = totals;
  if (summary.compared) {
    json["sqnr_db"] = spread_json(summary.sqnr_db);
    json["sample"] = {{"elements", summary.total.trial.elements},
                      {"blocks", summary.total.trial.blocks},
                      {"sqnr_db", spread_json(summary.sample_db)}};
    if (summary.made_by_nearest) json["made_by"] = info(summary.nearest->rule).name;
    json["gaining"] = {{"tensors", summary.gaining}, {"most_db", summary.most_gain}};
    json["rules"] = Json::array();
    for (const RuleResult& result : summary.rules) {
      json["rules"].push_back({{"rule", info(result.rule).name},
                               {"sqnr_db", spread_json(result.sqnr_db)},
                               {"saturated", result.saturated},
                               {"same_blocks", result.same_blocks}});
    }
  }
  json["layers"] = grid_json(layer_grid(report.weights));
  json["tensors"] = Json::array();
  for (const job::ReportedWeight& weight : report.weights) {
    Json tensor = {{"name", weight.name}, {"shape", weight.shape}};
    add_numbers(tensor, weight.numbers);
    tensor["scales"] = scales_json(weight.numbers);
    if (weight.numbers.trial.blocks > 0) tensor["sample"] = trial_json(weight.numbers.trial);
    json["tensors"].push_back(std::move(tensor));
  }
  return json;
}

}  // namespace mxfp4::cli
