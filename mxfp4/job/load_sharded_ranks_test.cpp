#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "mxfp4/base/test_error_internal.h"
#include "mxfp4/comm/test_ranks_internal.h"
#include "mxfp4/job/load_mlp.h"
#include "mxfp4/layer/test_golden_internal.h"
#include "mxfp4/layer/test_layer_internal.h"

namespace mxfp4::job {
namespace {

const std::string kModel = MXFP4_TEST_DATA "/models/tiny-gpt-oss/hf-mxfp4";

/// Three tokens through a layer of experts.
template <class Layer>
std::vector<float> forward(const Layer& layer, std::int64_t hidden) {
  const std::vector<float> x = test::normal(static_cast<std::size_t>(3 * hidden), 1), weights(12, 0.25f);
  const std::vector<std::int32_t> ids = {0, 1, 2, 3, 5, 4, 3, 2, 1, 5, 0, 4};
  std::vector<float> y(x.size());
  layer.forward(dense_view(x.data(), Dtype::f32, {3, hidden}), {ids.data(), weights.data(), 4}, Dtype::f32,
                y.data(), {Activation::exact, 1});
  return y;
}

TEST(LoadSharded, GivesTheBitsOfTheWholeLayerAndReadsAShareOfIt) {
  const Checkpoint checkpoint = open_checkpoint(kModel);
  std::size_t all = 0, mine = 0;
  const auto counting = [](std::size_t& count, bool pack) {
    LayerOptions options{.pack = pack, .context = {1, default_isa()}};
    options.done_with = [&count](std::span<const std::uint8_t> piece) { count += piece.size(); };
    return options;
  };
  for (const bool pack : {true, false}) {
    const Experts whole = load_experts(checkpoint, 0, counting(all, pack));
    const ShardedExperts layer = load_sharded_experts(checkpoint, 0, ranks(), 1, counting(mine, pack));
    EXPECT_EQ(forward(layer, layer.hidden()), forward(whole, whole.hidden()));
  }
  const std::size_t held = share_experts(6, ranks().size()).experts.held(ranks().rank()).size();
  EXPECT_EQ(mine * 6, all * held);  // of six experts
}

TEST(LoadSharded, SharesChannelsWhereTheyCanBeCut) {
  const Checkpoint checkpoint = open_checkpoint(kModel);
  const auto load = [&](bool pack) {
    return load_sharded_experts(checkpoint, 0, ranks(), ranks().size(),
                                {.pack = pack, .context = {1, default_isa()}});
  };
  if (ranks().size() == 4) {
    EXPECT_STREQ(error_of([&] { load(true); }).what(),
                 "tensor parallel: 96 channels are 3 times 32, too few for 4 ranks");
    return;
  }
  const ShardedExperts layer = load(true);
  const Experts whole = load_experts(checkpoint, 0);
  EXPECT_LE(test::distance(forward(layer, 64), forward(whole, 64)), 2e-6);
  if (ranks().size() == 1) return;
  EXPECT_EQ(error_of([&] { load(false); }).code(), ErrorCode::unsupported);
}

}  // namespace
}  // namespace mxfp4::job
