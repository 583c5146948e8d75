#include "mxfp4/cli/layer_grid.h"

#include <gtest/gtest.h>

namespace mxfp4::cli {
namespace {

void expect_place(std::string_view name, std::int64_t layer, std::string_view kind) {
  const Place place = place_of(name);
  EXPECT_EQ(place.layer, layer) << name;
  EXPECT_EQ(place.kind, kind) << name;
}

job::ReportedWeight weight(std::string name, std::uint64_t elements) {
  job::ReportedWeight weight{std::move(name), {}, {}};
  weight.numbers.weights = 1;
  weight.numbers.elements = elements;
  return weight;
}

TEST(LayerGrid, TheFirstNumberIsTheLayer) {
  expect_place("model.layers.12.self_attn.q_proj.weight", 12, "model.layers.*.self_attn.q_proj");
  expect_place("model.layers.3.mlp.experts.7.up_proj.weight", 3, "model.layers.*.mlp.experts.*.up_proj");
  expect_place("model.layers.0.mlp.experts.gate_up_proj", 0, "model.layers.*.mlp.experts.gate_up_proj");
  expect_place("pooler.dense.weight", kNoLayer, "pooler.dense");
  expect_place("weight", kNoLayer, "weight");
  expect_place(".weight", kNoLayer, ".weight");
  expect_place("", kNoLayer, "");
  expect_place("..", kNoLayer, "..");
  expect_place("7", 7, "*");
  expect_place("h.999999999.w", 999999999, "h.*.w");
  expect_place("h.9999999999.w", kNoLayer, "h.9999999999.w");  // no number of a layer
}

TEST(LayerGrid, ExpertsOfALayerAreTakenTogether) {
  const LayerGrid grid = layer_grid({weight("top", 1), weight("l.0.e.0.up", 2), weight("l.0.e.1.up", 4),
                                     weight("l.5.e.0.up", 8), weight("l.5.q", 16)});
  EXPECT_EQ(grid.layers, (std::vector<std::int64_t>{0, 5}));
  ASSERT_EQ(grid.kinds.size(), 3u);
  EXPECT_EQ(grid.kinds[0].label, "e.*.up");
  EXPECT_EQ(grid.kinds[0].layers.at(0).elements, 6u);
  EXPECT_EQ(grid.kinds[0].layers.at(0).weights, 2u);
  EXPECT_EQ(grid.kinds[0].layers.at(5).elements, 8u);
  EXPECT_EQ(grid.kinds[0].total.elements, 14u);
  EXPECT_EQ(grid.kinds[1].label, "q");
  EXPECT_EQ(grid.kinds[1].layers.count(0), 0u);
  EXPECT_EQ(grid.kinds[2].label, "top");
  EXPECT_EQ(grid.kinds[2].layers.at(kNoLayer).elements, 1u);
}

TEST(LayerGrid, KindsOfTwoStacksKeepTheirWholeNames) {
  const LayerGrid grid =
      layer_grid({weight("decoder.0.q", 1), weight("encoder.0.q", 1), weight("encoder.0.k", 1)});
  ASSERT_EQ(grid.kinds.size(), 3u);
  EXPECT_EQ(grid.kinds[0].label, "decoder.*.q");
  EXPECT_EQ(grid.kinds[1].label, "encoder.*.q");
  EXPECT_EQ(grid.kinds[2].label, "k");
}

}  // namespace
}  // namespace mxfp4::cli
