// The C interface against the C++ one; what C sees of it is tested in C.
#include <algorithm>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "mxfp4/capi/capi_internal.h"
#include "mxfp4/quantize/quantize.h"

namespace mxfp4 {
namespace {

TEST(Capi, EveryErrorBecomesItsStatus) {
  for (const ErrorCode code :
       {ErrorCode::invalid_argument, ErrorCode::corrupt_file, ErrorCode::unsupported, ErrorCode::io,
        ErrorCode::device, ErrorCode::out_of_memory, ErrorCode::interrupted}) {
    const std::string message = std::string("it was ") + to_string(code);
    const mxfp4_status status = capi::guarded([&] { throw Error(code, message); });
    EXPECT_STREQ(mxfp4_status_name(status), to_string(code));
    EXPECT_EQ(mxfp4_last_error(), message);
  }
}

TEST(Capi, NoExceptionLeaves) {
  EXPECT_EQ(capi::guarded([] { throw std::bad_alloc(); }), MXFP4_OUT_OF_MEMORY);
  EXPECT_STREQ(mxfp4_last_error(), "out of memory");
  EXPECT_EQ(capi::guarded([] { throw std::length_error("too long"); }), MXFP4_OUT_OF_MEMORY);
  EXPECT_STREQ(mxfp4_last_error(), "too long");
  EXPECT_EQ(capi::guarded([] { throw std::logic_error("a mistake"); }), MXFP4_UNSUPPORTED);
  EXPECT_STREQ(mxfp4_last_error(), "a mistake");
  EXPECT_EQ(capi::guarded([] { throw 7; }), MXFP4_UNSUPPORTED);
  EXPECT_EQ(capi::guarded([] {}), MXFP4_OK);
}

TEST(Capi, ThreadsAreThoseOfThisProcessAtMost) {
  EXPECT_EQ(capi::threads_of("f", 0), available_threads());
  EXPECT_EQ(capi::threads_of("f", 1), 1);
  EXPECT_EQ(capi::threads_of("f", INT32_MAX), available_threads());
}

TEST(Capi, BytesOfStridedRowsEndWithTheLastRow) {
  EXPECT_EQ(capi::dense_bytes("f", Dtype::f32, 3, 5, 5), 60u);
  EXPECT_EQ(capi::dense_bytes("f", Dtype::bf16, 3, 5, 8), 42u);
  EXPECT_EQ(capi::dense_bytes("f", Dtype::f32, 3, 5, 1), 28u);
  EXPECT_EQ(capi::dense_bytes("f", Dtype::f32, 0, 5, 8), 0u);
  EXPECT_THROW(capi::dense_bytes("f", Dtype::f32, 3, 5, INT64_MAX), Error);
}

TEST(Capi, WritesTheBytesOfTheCppInterfaceUnderEveryPresetAndRule) {
  const std::int64_t rows = 5, columns = 75;
  std::vector<float> x(static_cast<std::size_t>(rows * columns));
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>((i * 7919) % 1009) * 0.013f - 6.5f;

  const auto expect_same = [&](const mxfp4_quantize_options& options, const Recipe& recipe,
                               const char* name) {
    QuantizeOptions same;
    same.recipe = recipe;
    same.block_size = options.block_size;
    ErrorStats sums;
    const Mxfp4Tensor expected = quantize(dense_view(x.data(), Dtype::f32, {rows, columns}), same, &sums);
    std::size_t code_bytes = 0, scale_bytes = 0;
    ASSERT_EQ(mxfp4_sizes(rows, columns, options.block_size, &code_bytes, &scale_bytes), MXFP4_OK);
    std::vector<std::uint8_t> codes(code_bytes), scales(scale_bytes);
    mxfp4_error_stats stats{};
    stats.size = sizeof stats;
    ASSERT_EQ(mxfp4_quantize(x.data(), x.size() * 4, MXFP4_F32, rows, columns, &options, codes.data(),
                             code_bytes, scales.data(), scale_bytes, &stats),
              MXFP4_OK)
        << mxfp4_last_error();
    EXPECT_EQ(codes, expected.codes) << name;
    EXPECT_EQ(scales, expected.scales) << name;
    EXPECT_EQ(stats.noise, sums.noise) << name;
    EXPECT_EQ(stats.sqnr_db, sums.sqnr_db()) << name;
  };
  for (const int block_size : {32, 16}) {
    mxfp4_quantize_options options{};
    options.size = sizeof options;
    options.block_size = block_size;
    options.nonfinite = "preset";
    expect_same(options, {}, "the default");
    for (const Preset& preset : presets()) {
      options.preset = preset.name;
      expect_same(options, preset.recipe, preset.name);
    }
    options.preset = nullptr;
    for (const ScaleRuleInfo& rule : kScaleRules) {
      options.scale_rule = rule.name;
      Recipe recipe;
      recipe.scale = rule.rule;
      expect_same(options, recipe, rule.name);
    }
  }
}

}  // namespace
}  // namespace mxfp4
