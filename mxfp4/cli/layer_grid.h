// The weights of a model by layer and kind.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "mxfp4/job/report_job.h"

namespace mxfp4::cli {

/// Weights of one name but for the layer and, within it, the expert.
struct Kind {
  std::string name;   ///< "model.layers.*.mlp.experts.*.gate_proj"
  std::string label;  ///< what tells it from the others: "mlp.experts.*.gate_proj"
  std::map<std::int64_t, job::WeightNumbers> layers;  ///< by layer; kNoLayer for what stands in none
  job::WeightNumbers total;
};

inline constexpr std::int64_t kNoLayer = -1;

struct LayerGrid {
  std::vector<std::int64_t> layers;  ///< that any kind has, ascending; without kNoLayer
  std::vector<Kind> kinds;           ///< in the order of their first weights, those of no layer last
};

LayerGrid layer_grid(const std::vector<job::ReportedWeight>& weights);

/// "encoder.layer.3.output.dense.weight" is layer 3 of "encoder.layer.*.output.dense".
struct Place {
  std::int64_t layer = kNoLayer;
  std::string kind;
};
Place place_of(std::string_view name);

}  // namespace mxfp4::cli
