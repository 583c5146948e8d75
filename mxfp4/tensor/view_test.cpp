#include "mxfp4/tensor/view.h"

#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "mxfp4/base/error.h"

namespace mxfp4 {
namespace {

using Sizes = std::vector<std::int64_t>;

std::uint16_t at(const DenseView& view, const Sizes& index) {
  std::int64_t offset = 0;
  for (std::size_t d = 0; d < index.size(); ++d) offset += index[d] * view.strides[d];
  std::uint16_t value;
  std::memcpy(&value, view.data + 2 * offset, sizeof value);
  return value;
}

void expect_refused(const std::function<void()>& action, const std::string& message) {
  try {
    action();
    ADD_FAILURE() << "nothing was thrown; expected: " << message;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    EXPECT_EQ(error.what(), message);
  }
}

// 2 x 3 x 4 elements that are numbered in the order of memory.
class View : public testing::Test {
 protected:
  View() { std::iota(numbers_.begin(), numbers_.end(), std::uint16_t{0}); }
  std::vector<std::uint16_t> numbers_ = std::vector<std::uint16_t>(24);
  DenseView view_ = dense_view(numbers_.data(), Dtype::u16, {2, 3, 4});
};

TEST_F(View, OfContiguousElementsHasTheirStrides) {
  EXPECT_EQ(view_.strides, (Sizes{12, 4, 1}));
  EXPECT_EQ(view_.rank(), 3);
  EXPECT_EQ(view_.elements(), 24);
  EXPECT_TRUE(view_.contiguous());
  EXPECT_EQ(at(view_, {1, 2, 3}), 23);
}

TEST_F(View, TransposedExchangesTwoDimensions) {
  const DenseView transposed = view_.transposed(1, 2);
  EXPECT_EQ(transposed.shape, (Shape{2, 4, 3}));
  EXPECT_EQ(at(transposed, {1, 3, 2}), 23);
  EXPECT_EQ(at(transposed, {1, 1, 2}), 21);
  EXPECT_FALSE(transposed.contiguous());
  EXPECT_TRUE(transposed.transposed(2, 1).contiguous());
  EXPECT_EQ(view_.transposed(-1, -2).strides, transposed.strides);
  EXPECT_TRUE(view_.transposed(0, 0).contiguous());
}

TEST_F(View, SliceTakesEveryStepthIndex) {
  const DenseView odd = view_.slice(-1, 1, 4, 2);
  EXPECT_EQ(odd.shape, (Shape{2, 3, 2}));
  EXPECT_EQ(at(odd, {0, 0, 0}), 1);
  EXPECT_EQ(at(odd, {1, 2, 1}), 23);
  EXPECT_FALSE(odd.contiguous());
  EXPECT_EQ(view_.slice(2, 0, 3, 2).shape.back(), 2);
  EXPECT_EQ(view_.slice(2, 0, 2, 2).shape.back(), 1);
}

TEST_F(View, SliceOfTheFirstDimensionStaysContiguous) {
  const DenseView second = view_.slice(0, 1, 2);
  EXPECT_TRUE(second.contiguous());
  EXPECT_EQ(at(second, {0, 0, 0}), 12);
}

TEST_F(View, SliceWithAHugeStepTakesOneElement) {
  const DenseView one = view_.slice(0, 1, 2, std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(one.shape, (Shape{1, 3, 4}));
  EXPECT_EQ(at(one, {0, 2, 3}), 23);
}

TEST_F(View, SliceMayBeEmpty) {
  const DenseView none = view_.slice(1, 3, 3);
  EXPECT_EQ(none.shape, (Shape{2, 0, 4}));
  EXPECT_EQ(none.elements(), 0);
  EXPECT_TRUE(none.contiguous());
}

TEST_F(View, AtAnIndexLosesItsFirstDimension) {
  const DenseView second = view_[1];
  EXPECT_EQ(second.shape, (Shape{3, 4}));
  EXPECT_EQ(at(second, {2, 3}), 23);
  EXPECT_EQ(view_[1][2][3].rank(), 0);
  EXPECT_EQ(at(view_[1][2][3], {}), 23);
}

TEST_F(View, WithAGapBetweenRowsIsNotContiguous) {
  EXPECT_FALSE(view_.slice(2, 0, 3).contiguous());
  EXPECT_FALSE(view_.slice(1, 0, 2).contiguous());
  EXPECT_TRUE(view_.slice(1, 0, 2)[0].contiguous());
}

TEST_F(View, OfOneElementIsContiguousWhateverTheStrides) {
  EXPECT_TRUE(view_.slice(1, 2, 3).slice(2, 3, 4).slice(0, 1, 2).contiguous());
}

TEST_F(View, WithoutElementsMayHaveSizesThatOverflow) {
  const DenseView view = dense_view(nullptr, Dtype::u16, {0, std::int64_t{1} << 40, std::int64_t{1} << 40});
  EXPECT_EQ(view.elements(), 0);
  EXPECT_TRUE(view.contiguous());
  EXPECT_TRUE(view.slice(1, 5, std::int64_t{1} << 30, 3).contiguous());
}

TEST_F(View, RefusesADimensionThatDoesNotExist) {
  expect_refused([&] { view_.transposed(0, 3); }, "a view of shape [2, 3, 4] has no dimension 3");
  expect_refused([&] { view_.transposed(-4, 0); }, "a view of shape [2, 3, 4] has no dimension -4");
  expect_refused([&] { view_.slice(3, 0, 0); }, "a view of shape [2, 3, 4] has no dimension 3");
}

TEST_F(View, RefusesASliceThatIsOutOfRange) {
  const std::string none = "a view of shape [2, 3, 4] has no slice ";
  expect_refused([&] { view_.slice(1, 0, 4); }, none + "[0, 4) with step 1 of dimension 1");
  expect_refused([&] { view_.slice(1, -1, 2); }, none + "[-1, 2) with step 1 of dimension 1");
  expect_refused([&] { view_.slice(1, 2, 1); }, none + "[2, 1) with step 1 of dimension 1");
  expect_refused([&] { view_.slice(-1, 0, 4, 0); }, none + "[0, 4) with step 0 of dimension -1");
}

TEST_F(View, RefusesAnIndexThatIsOutOfRange) {
  expect_refused([&] { view_[2]; }, "a view of shape [2, 3, 4] has no index 2");
  expect_refused([&] { view_[-1]; }, "a view of shape [2, 3, 4] has no index -1");
  expect_refused([&] { view_[0][0][0][0]; }, "a view of shape [] has no index 0");
}

TEST_F(View, RefusesElementsThatAreNotWholeBytes) {
  expect_refused([&] { dense_view(numbers_.data(), Dtype::f4, {2}); },
                 "no view of F4: its elements are not whole bytes");
}

TEST_F(View, RefusesAShapeWithoutASize) {
  expect_refused(
      [&] {
        dense_view(numbers_.data(), Dtype::u8, {2, -1});
      },
      "no view of shape [2, -1]: a size is negative, or the product overflows");
}

}  // namespace
}  // namespace mxfp4
