#include <cstdint>
#include <cstring>
#include <numeric>
#include <random>
#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "mxfp4/base/error.h"
#include "mxfp4/codec/float16.h"
#include "mxfp4/tensor/view.h"

namespace mxfp4 {
namespace {

using Bytes = std::vector<std::byte>;

Bytes random_bytes(std::size_t size, std::uint32_t seed) {
  std::mt19937 random(seed);
  Bytes bytes(size);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

std::size_t element_bytes(const DenseView& view) {
  return static_cast<std::size_t>(bits_of(view.dtype)) / 8;
}

std::int64_t columns_of(const DenseView& view) {
  return view.shape.empty() ? 1 : view.shape.back();
}

std::int64_t rows_of(const DenseView& view) {
  return element_count(std::span(view.shape).first(view.shape.empty() ? 0 : view.shape.size() - 1));
}

// Element by element, by the definition of a view.
Bytes expected_rows(const DenseView& view, std::int64_t begin, std::int64_t end) {
  Bytes out;
  for (std::int64_t i = begin * columns_of(view); i < end * columns_of(view); ++i) {
    std::int64_t rest = i, offset = 0;
    for (std::size_t d = view.shape.size(); d-- > 0; rest /= view.shape[d]) {
      offset += rest % view.shape[d] * view.strides[d];
    }
    const std::byte* const element = view.data + offset * static_cast<std::int64_t>(element_bytes(view));
    out.insert(out.end(), element, element + element_bytes(view));
  }
  return out;
}

// `out` lies between bytes that must stay as they are, and is not aligned.
void expect_copied(const DenseView& view, std::int64_t begin, std::int64_t end, const std::string& what) {
  const Bytes expected = expected_rows(view, begin, end);
  constexpr std::size_t kMargin = 65;
  Bytes out(expected.size() + 2 * kMargin, std::byte{0xA5});
  copy_rows(view, begin, end, out.data() + kMargin);
  EXPECT_TRUE(std::equal(expected.begin(), expected.end(), out.begin() + kMargin)) << what;
  EXPECT_EQ(std::count(out.begin(), out.begin() + kMargin, std::byte{0xA5}), kMargin) << what;
  EXPECT_EQ(std::count(out.end() - kMargin, out.end(), std::byte{0xA5}), kMargin) << what;
}

constexpr Dtype kOneOfEachSize[] = {Dtype::u8, Dtype::bf16, Dtype::f32, Dtype::c64};

TEST(CopyRows, OfTransposedExpertsOfEverySizeAroundATile) {
  // Tiles have 128 bytes along the rows and 64 along the columns.
  for (const Dtype dtype : kOneOfEachSize) {
    for (const std::int64_t columns : {1, 7, 8, 31, 32, 33, 64, 65, 100}) {
      for (const std::int64_t rows : {1, 15, 16, 17, 63, 64, 65, 129, 200}) {
        const Bytes data = random_bytes(static_cast<std::size_t>(2 * rows * columns * 8 + 1), 1);
        const DenseView view = dense_view(data.data() + 1, dtype, {2, columns, rows}).transposed(1, 2);
        expect_copied(view, 0, 2 * rows, std::string(to_string(dtype)) + " " + to_string(view.shape));
      }
    }
  }
}

TEST(CopyRows, OfAnyRangeOfTransposedRows) {
  const Bytes data = random_bytes(3 * 70 * 40 * 2, 2);
  const DenseView view = dense_view(data.data(), Dtype::bf16, {3, 40, 70}).transposed(1, 2);
  for (std::int64_t begin = 0; begin <= 210; begin += 7) {
    for (std::int64_t end = begin; end <= 210; end += 35) {
      expect_copied(view, begin, end, std::to_string(begin) + " to " + std::to_string(end));
    }
  }
}

TEST(CopyRows, OfEverySecondRowOfATransposedView) {
  const Bytes data = random_bytes(2 * 45 * 300 * 2, 3);
  const DenseView view =
      dense_view(data.data(), Dtype::f16, {2, 45, 300}).transposed(-1, -2).slice(1, 1, 300, 2);
  expect_copied(view, 3, 280, "odd rows");
}

TEST(CopyRows, OfRandomViewsOfRandomStrides) {
  std::mt19937 random(4);
  const auto below = [&](std::int64_t limit) {
    return static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(limit));
  };
  const Bytes data = random_bytes(9 * 9 * 9 * 9 * 8 + 1, 5);
  for (int trial = 0; trial < 2000; ++trial) {
    Shape shape(static_cast<std::size_t>(below(5)));
    for (std::int64_t& size : shape) size = 1 + below(9);
    DenseView view = dense_view(data.data() + 1, kOneOfEachSize[below(4)], shape);
    const int rank = view.rank();
    for (int change = 0; rank > 0 && change < 3; ++change) {
      view = view.transposed(static_cast<int>(below(rank)), static_cast<int>(below(rank)));
      const int d = static_cast<int>(below(rank));
      const std::int64_t begin = below(view.shape[static_cast<std::size_t>(d)]);
      view = view.slice(d, begin, view.shape[static_cast<std::size_t>(d)], 1 + below(3));
    }
    const std::int64_t begin = below(rows_of(view) + 1), end = begin + below(rows_of(view) - begin + 1);
    expect_copied(view, begin, end, "trial " + std::to_string(trial) + ", shape " + to_string(view.shape));
  }
}

TEST(CopyRows, OfABroadcastRowRepeatsIt) {
  const Bytes data = random_bytes(100 * 4, 6);
  expect_copied({data.data(), Dtype::f32, {70, 100}, {0, 1}}, 0, 70, "rows");
  expect_copied({data.data(), Dtype::f32, {100, 70}, {1, 0}}, 0, 100, "columns");
}

TEST(CopyRows, WithoutElementsTouchesNothing) {
  copy_rows(dense_view(nullptr, Dtype::f32, {0, 32}), 0, 0, nullptr);
  copy_rows(dense_view(nullptr, Dtype::f32, {32, 0}), 0, 32, nullptr);
  copy_rows_f32(dense_view(nullptr, Dtype::bf16, {4, 0}).transposed(0, 1), 0, 0, nullptr);
}

TEST(CopyRowsF32, IsExactForEveryBf16AndF16) {
  std::vector<std::uint16_t> bits(65536);
  std::iota(bits.begin(), bits.end(), std::uint16_t{0});
  for (const bool transposed : {false, true}) {
    for (const Dtype dtype : {Dtype::bf16, Dtype::f16}) {
      const DenseView view = dense_view(bits.data(), dtype, {256, 256});
      std::vector<float> out(65536);
      copy_rows_f32(transposed ? view.transposed(0, 1) : view, 0, 256, out.data());
      for (std::uint32_t i = 0; i < 65536; ++i) {
        const auto source = static_cast<std::uint16_t>(transposed ? i % 256 * 256 + i / 256 : i);
        const float expected = dtype == Dtype::bf16 ? bf16_to_f32(source) : f16_to_f32(source);
        ASSERT_EQ(std::memcmp(&out[i], &expected, sizeof expected), 0) << to_string(dtype) << " " << source;
      }
    }
  }
}

TEST(CopyRowsF32, CopiesF32) {
  const Bytes data = random_bytes(40 * 50 * 4 + 1, 7);
  const DenseView view = dense_view(data.data() + 1, Dtype::f32, {40, 50}).transposed(0, 1);
  std::vector<float> out(2000);
  copy_rows_f32(view, 0, 50, out.data());
  EXPECT_EQ(std::memcmp(out.data(), expected_rows(view, 0, 50).data(), 8000), 0);
}

TEST(WriteF32, RoundsEveryElementOnceWhereverItGoes) {
  const std::vector<float> x = {0, -0.0f, 1, -1.00390625f, 65519, 65520, 3e-8f, 3.4e38f, NAN, INFINITY};
  for (const Dtype dtype : {Dtype::f32, Dtype::bf16, Dtype::f16}) {
    const std::size_t size = static_cast<std::size_t>(bits_of(dtype)) / 8;
    Bytes out(x.size() * size + 1);
    write_f32(x.data(), x.size(), dtype, out.data() + 1);
    std::vector<float> own = x;
    write_f32(own.data(), own.size(), dtype, reinterpret_cast<std::byte*>(own.data()));
    EXPECT_EQ(std::memcmp(own.data(), out.data() + 1, x.size() * size), 0) << to_string(dtype);
    for (std::size_t i = 0; i < x.size(); ++i) {
      const std::uint16_t half = dtype == Dtype::bf16 ? f32_to_bf16(x[i]) : f32_to_f16(x[i]);
      const void* const expected = dtype == Dtype::f32 ? static_cast<const void*>(&x[i]) : &half;
      EXPECT_EQ(std::memcmp(out.data() + 1 + i * size, expected, size), 0) << to_string(dtype) << " " << i;
    }
  }
}

void expect_refused(void (*copy)(const DenseView&, std::int64_t, std::int64_t), const DenseView& view,
                    std::int64_t begin, std::int64_t end, const std::string& message) {
  try {
    copy(view, begin, end);
    ADD_FAILURE() << "nothing was thrown; expected: " << message;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
    EXPECT_EQ(error.what(), message);
  }
}

void copy_nowhere(const DenseView& view, std::int64_t begin, std::int64_t end) {
  copy_rows(view, begin, end, nullptr);
}

void copy_f32_nowhere(const DenseView& view, std::int64_t begin, std::int64_t end) {
  copy_rows_f32(view, begin, end, nullptr);
}

TEST(CopyRows, RefusesRowsThatDoNotExist) {
  const std::byte data[12] = {};
  const DenseView view = dense_view(data, Dtype::u8, {2, 3, 2});
  expect_refused(copy_nowhere, view, 0, 7, "a view of shape [2, 3, 2] has no rows [0, 7)");
  expect_refused(copy_nowhere, view, -1, 2, "a view of shape [2, 3, 2] has no rows [-1, 2)");
  expect_refused(copy_f32_nowhere, view, 3, 2, "a view of shape [2, 3, 2] has no rows [3, 2)");
}

TEST(CopyRows, RefusesElementsThatAreNotWholeBytes) {
  const std::byte data[1] = {};
  expect_refused(copy_nowhere, {data, Dtype::f4, {2}, {1}}, 0, 1,
                 "cannot copy rows of F4: its elements are not whole bytes");
}

TEST(CopyRowsF32, RefusesOtherDtypes) {
  const std::byte data[8] = {};
  expect_refused(copy_f32_nowhere, dense_view(data, Dtype::f64, {1}), 0, 1,
                 "cannot read F64 as F32; F32, BF16 and F16 can be");
}

}  // namespace
}  // namespace mxfp4
