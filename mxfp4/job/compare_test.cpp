#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include <gtest/gtest.h>

#include "mxfp4/checkpoint/test_model_internal.h"
#include "mxfp4/job/byte_compare_internal.h"
#include "mxfp4/job/compare_internal.h"

namespace mxfp4::job {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

TEST(Distance, IsThatOfThePlainSums) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  for (const std::size_t count : {0, 1, 7, 8, 9, 1000}) {
    std::vector<float> a(count), b(count);
    double signal = 0, noise = 0, largest = 0;
    std::uint64_t different = 0;
    for (std::size_t i = 0; i < count; ++i) {
      a[i] = normal(random);
      b[i] = i % 3 == 0 ? a[i] : normal(random);
      const double error = static_cast<double>(a[i]) - static_cast<double>(b[i]);
      signal += static_cast<double>(a[i]) * static_cast<double>(a[i]);
      noise += error * error;
      largest = std::max(largest, std::abs(error));
      different += a[i] != b[i];
    }
    const Distance d = distance(a.data(), b.data(), count);
    EXPECT_NEAR(d.signal, signal, 1e-12 * signal);
    EXPECT_NEAR(d.noise, noise, 1e-12 * noise);
    EXPECT_EQ(d.largest, largest);
    EXPECT_EQ(d.different, different);
  }
}

TEST(Distance, NothingIsNearToNaNAndInfinityButThemselves) {
  for (const std::size_t at : {0, 5, 11}) {
    for (const float odd : {kNan, kInf, -kInf}) {
      std::vector<float> a(12, 1.0f), b(12, 1.0f);
      a[at] = odd;
      Distance d = distance(a.data(), b.data(), a.size());
      EXPECT_EQ(d.different, 1u);
      EXPECT_TRUE(std::isinf(d.largest) && std::isinf(d.noise)) << odd;
      EXPECT_EQ(d.signal, 11);
      EXPECT_EQ(d.sqnr_db(), -std::numeric_limits<double>::infinity());
      b[at] = odd;
      d = distance(a.data(), b.data(), a.size());
      EXPECT_EQ(d.different, 0u);
      EXPECT_EQ(d.noise, 0);
      EXPECT_EQ(d.sqnr_db(), std::numeric_limits<double>::infinity());
    }
  }
}

TEST(Distance, TheSmallestDifferenceCounts) {
  std::vector<float> a(16, 0.0f), b(16, 0.0f);
  b[9] = std::numeric_limits<float>::denorm_min();
  EXPECT_EQ(distance(a.data(), b.data(), 16).different, 1u);
  EXPECT_EQ(distance(a.data(), b.data(), 16).largest, 0x1p-149);
  b[9] = -0.0f;
  EXPECT_EQ(distance(a.data(), b.data(), 16).different, 0u);
}

// Every tile of a weight that is wider, or longer, than one; the place of a difference in any of them.
TEST(Comparison, FindsADifferenceInEveryTile) {
  constexpr std::int64_t kTile = Comparison::kTileElements;
  for (const Shape& shape :
       {Shape{3, kTile + 32}, Shape{2 * kTile / 100, 100}, Shape{2 * kTile + 1}, Shape{}}) {
    const TestDirectory directory;
    const auto count = static_cast<std::size_t>(element_count(shape));
    const safetensors::TensorSpec spec{"w", Dtype::f32, shape};
    for (const std::size_t at : {std::size_t{0}, count / 2, count - 1}) {
      write_tensors(directory / "a.safetensors", {spec});
      const safetensors::Layout layout = safetensors::layout({&spec, 1}, {});
      std::string content = layout.head;
      content.resize(layout.size);
      const float value = 0.5f;
      std::memcpy(content.data() + layout.offsets[0] + 4 * at, &value, 4);
      write_text(directory / "b.safetensors", content);
      const Checkpoint a = open_checkpoint(directory / "a.safetensors"),
                       b = open_checkpoint(directory / "b.safetensors");
      Matched matched = match_weights(a, b);
      std::vector<Comparison> comparisons;
      comparisons.emplace_back(matched.pairs.at(0));
      Pass pass(2, nullptr, nullptr);
      run_comparisons(comparisons, pass);
      EXPECT_EQ(comparisons[0].total().different, 1u);
      EXPECT_EQ(comparisons[0].first_different().number, at) << to_string(shape);
      EXPECT_EQ(comparisons[0].most_distant().number, at);
      EXPECT_EQ(comparisons[0].most_distant().b, 0.5f);
    }
  }
}

TEST(Comparison, AStopEndsThePass) {
  const Checkpoint a = open_checkpoint(test_model("tiny-llama/bf16"));
  std::vector<Comparison> comparisons;
  for (const Matched::Pair& pair : match_weights(a, a).pairs) comparisons.emplace_back(pair);
  const std::atomic<bool> stop{true};
  Pass pass(2, nullptr, &stop);
  EXPECT_TRUE(has_all(error_of([&] { run_comparisons(comparisons, pass); }), {"interrupted"}));
}

TEST(ByteCompare, FindsEveryWidth) {
  for (const std::size_t width : {1, 2, 4, 8}) {
    for (const std::size_t words : {1, 511, 512, 513, 5000}) {
      std::vector<std::byte> a(width * words, std::byte{7}), b = a;
      EXPECT_EQ(find_different(a, b, width).count, 0u);
      b[width * words - 1] = std::byte{8};
      b[width * (words / 2)] = std::byte{9};
      const Found found = find_different(a, b, width);
      EXPECT_EQ(found.first, words / 2);
      EXPECT_EQ(found.count, words / 2 == words - 1 ? 1u : 2u) << width << " " << words;
    }
  }
}

TEST(Pass, SaysWhereAndWhat) {
  EXPECT_EQ(place(0, {}), "[]");
  EXPECT_EQ(place(23, {2, 3, 4}), "[1, 2, 3]");
  const float tenth = 0.1f;
  EXPECT_EQ(element_text(Dtype::f32, reinterpret_cast<const std::byte*>(&tenth)), "0.1");
  const std::int64_t least = std::numeric_limits<std::int64_t>::min();
  EXPECT_EQ(element_text(Dtype::i64, reinterpret_cast<const std::byte*>(&least)), "-9223372036854775808");
  EXPECT_EQ(element_text(Dtype::f8_e4m3, reinterpret_cast<const std::byte*>(&tenth)), "0xcd");
  EXPECT_EQ(number_text(kNan), "NaN");
  EXPECT_EQ(number_text(-kInf), "-Inf");
}

}  // namespace
}  // namespace mxfp4::job
