#include "mxfp4/tensor/mxfp4_tensor.h"

#include <gtest/gtest.h>

namespace mxfp4 {
namespace {

Mxfp4View view_of(Shape shape, int block_size) {
  return {nullptr, nullptr, std::move(shape), block_size};
}

TEST(Mxfp4View, TakesAllDimensionsButTheLastAsRows) {
  EXPECT_EQ(view_of({4, 5, 96}, 32).rows(), 20);
  EXPECT_EQ(view_of({96}, 32).rows(), 1);
  EXPECT_EQ(view_of({}, 32).rows(), 1);
  EXPECT_EQ(view_of({0, 96}, 32).rows(), 0);
}

TEST(Mxfp4View, CompletesTheLastBlockOfARow) {
  const Mxfp4View view = view_of({3, 33}, 32);
  EXPECT_EQ(view.blocks_per_row(), 2);
  EXPECT_EQ(view.scale_bytes(), 6);
  EXPECT_EQ(view.code_bytes(), 6 * 16);
}

TEST(Mxfp4View, CountsBlocksOf16) {
  const Mxfp4View view = view_of({2, 48}, 16);
  EXPECT_EQ(view.blocks(), 6);
  EXPECT_EQ(view.code_bytes(), 6 * 8);
}

TEST(Mxfp4Tensor, ShowsItsOwnMemory) {
  const Mxfp4Tensor tensor{std::vector<std::uint8_t>(32), std::vector<std::uint8_t>(2), {1, 64}};
  const Mxfp4View view = tensor.view();
  EXPECT_EQ(view.codes, tensor.codes.data());
  EXPECT_EQ(view.scales, tensor.scales.data());
  EXPECT_EQ(view.code_bytes(), 32);
  EXPECT_EQ(view.scale_bytes(), 2);
}

}  // namespace
}  // namespace mxfp4
