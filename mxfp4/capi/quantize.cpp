#include "mxfp4/quantize/quantize.h"

#include <optional>
#include <string>

#include "mxfp4/capi/capi_internal.h"

namespace mxfp4::capi {
namespace {

/// "mxfp4, ocp, triton"
template <class Table>
std::string names_of(const Table& table) {
  std::string names;
  for (const auto& entry : table) names += std::string(names.empty() ? "" : ", ") + entry.name;
  return names;
}

Recipe recipe_of(std::string_view call, const mxfp4_quantize_options& options) {
  const std::string_view policy = options.nonfinite == nullptr ? "error" : options.nonfinite;
  const std::optional<NonFinite> nonfinite = parse_nonfinite(policy);
  if (!nonfinite && policy != "preset") {
    fail(ErrorCode::invalid_argument,
         "{}: no policy '{}' for NaN and infinity; there are error, nan_block, saturate, preset", call,
         policy);
  }
  Recipe recipe;
  if (options.preset != nullptr) {
    if (options.scale_rule != nullptr) {
      fail(ErrorCode::invalid_argument, "{}: preset '{}' and scale_rule '{}' exclude each other", call,
           options.preset, options.scale_rule);
    }
    const Preset* const preset = find_preset(options.preset);
    if (preset == nullptr) {
      fail(ErrorCode::invalid_argument, "{}: no preset '{}'; there are {}", call, options.preset,
           names_of(presets()));
    }
    recipe = preset->recipe;
  } else if (options.scale_rule != nullptr) {
    const std::optional<ScaleRule> rule = parse_scale_rule(options.scale_rule);
    if (!rule) {
      fail(ErrorCode::invalid_argument, "{}: no scale rule '{}'; there are {}", call, options.scale_rule,
           names_of(kScaleRules));
    }
    recipe.scale = *rule;
  }
  if (nonfinite) recipe.nonfinite = *nonfinite;
  return recipe;
}

QuantizeOptions options_of(std::string_view call, const mxfp4_quantize_options* given) {
  constexpr std::size_t first = offsetof(mxfp4_quantize_options, threads) + sizeof(std::int32_t);
  const mxfp4_quantize_options known = known_part(call, "options", given, first);
  QuantizeOptions options;
  options.recipe = recipe_of(call, known);
  options.block_size = block_size_of(call, known.block_size);
  if (known.importance_count > 0) require(call, "importance", known.importance);
  options.importance = {known.importance, known.importance_count};
  options.context.threads = threads_of(call, known.threads);
  return options;
}

void quantize(const void* x, std::size_t x_bytes, mxfp4_dtype dtype, std::int64_t rows, std::int64_t columns,
              const mxfp4_quantize_options* given, std::uint8_t* codes, std::size_t code_bytes,
              std::uint8_t* scales, std::size_t scale_bytes, mxfp4_error_stats* stats) {
  constexpr const char* call = "mxfp4_quantize";
  const QuantizeOptions options = options_of(call, given);
  const Dtype type = dtype_of(call, "dtype", dtype);
  require_bytes(call, "x", x, x_bytes, dense_bytes(call, type, rows, columns, columns));
  const Sizes sizes = sizes_of(call, rows, columns, options.block_size);
  require_bytes(call, "codes", codes, code_bytes, sizes.codes);
  require_bytes(call, "scales", scales, scale_bytes, sizes.scales);
  constexpr std::size_t first = offsetof(mxfp4_error_stats, saturated) + sizeof(std::uint64_t);
  mxfp4_error_stats told = known_part(call, "stats", stats, first);

  ErrorStats sums;
  quantize_into(dense_view(x, type, {rows, columns}), codes, scales, options,
                stats == nullptr ? nullptr : &sums);
  if (stats == nullptr) return;
  told.signal = sums.signal;
  told.noise = sums.noise;
  told.sqnr_db = sums.sqnr_db();
  told.elements = sums.elements;
  told.blocks = sums.blocks;
  told.lossless_blocks = sums.lossless_blocks;
  told.saturated = sums.saturated;
  std::memcpy(stats, &told, std::min(told.size, sizeof told));
}

}  // namespace
}  // namespace mxfp4::capi

extern "C" {

mxfp4_status mxfp4_sizes(int64_t rows, int64_t columns, int32_t block_size, size_t* code_bytes,
                         size_t* scale_bytes) {
  using namespace mxfp4::capi;
  return guarded([&] {
    constexpr const char* call = "mxfp4_sizes";
    require(call, "code_bytes", code_bytes);
    require(call, "scale_bytes", scale_bytes);
    const Sizes sizes = sizes_of(call, rows, columns, block_size_of(call, block_size));
    *code_bytes = sizes.codes;
    *scale_bytes = sizes.scales;
  });
}

mxfp4_status mxfp4_quantize(const void* x, size_t x_bytes, mxfp4_dtype dtype, int64_t rows, int64_t columns,
                            const mxfp4_quantize_options* options, uint8_t* codes, size_t code_bytes,
                            uint8_t* scales, size_t scale_bytes, mxfp4_error_stats* stats) {
  return mxfp4::capi::guarded([&] {
    mxfp4::capi::quantize(x, x_bytes, dtype, rows, columns, options, codes, code_bytes, scales, scale_bytes,
                          stats);
  });
}

mxfp4_status mxfp4_dequantize(const mxfp4_matrix* matrix, void* out, size_t out_bytes, mxfp4_dtype dtype,
                              int32_t threads) {
  using namespace mxfp4::capi;
  return guarded([&] {
    constexpr const char* call = "mxfp4_dequantize";
    const mxfp4::Mxfp4View view = view_of(call, "matrix", matrix);
    const mxfp4::Dtype type = dtype_of(call, "dtype", dtype);
    require_bytes(call, "out", out, out_bytes,
                  dense_bytes(call, type, view.shape[0], view.shape[1], view.shape[1]));
    mxfp4::Context context;
    context.threads = threads_of(call, threads);
    mxfp4::dequantize(view, type, out, context);
  });
}

}  // extern "C"
