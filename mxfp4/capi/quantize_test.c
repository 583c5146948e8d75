// Quantise and dequantise from C: what comes back, and every way to be refused.
#include <math.h>

#include "mxfp4/capi/test_capi.h"

enum { kRows = 3, kColumns = 70, kCodes = kRows * 3 * 16, kScales = kRows * 3 };

static float x[kRows * kColumns];
static uint8_t codes[kCodes], scales[kScales];

/// Quantises x as the options say; the arrays fit blocks of 32.
static mxfp4_status quantize(const mxfp4_quantize_options* options) {
  return mxfp4_quantize(x, sizeof x, MXFP4_F32, kRows, kColumns, options, codes, kCodes, scales, kScales,
                        NULL);
}

static mxfp4_matrix matrix(void) {
  const mxfp4_matrix made = {.size = sizeof made,
                             .codes = codes,
                             .code_bytes = kCodes,
                             .scales = scales,
                             .scale_bytes = kScales,
                             .rows = kRows,
                             .columns = kColumns};
  return made;
}

static void sizes_follow_from_the_shape(void) {
  size_t code_bytes = 0, scale_bytes = 0;
  WORKS(mxfp4_sizes(kRows, kColumns, 0, &code_bytes, &scale_bytes));
  CHECK(code_bytes == 144 && scale_bytes == 9);
  WORKS(mxfp4_sizes(kRows, kColumns, 16, &code_bytes, &scale_bytes));
  CHECK(code_bytes == 120 && scale_bytes == 15);
  WORKS(mxfp4_sizes(0, INT64_MAX, 32, &code_bytes, &scale_bytes));
  CHECK(code_bytes == 0 && scale_bytes == 0);
  REFUSES("mxfp4_sizes: a size of [-1, 32] is negative", mxfp4_sizes(-1, 32, 32, &code_bytes, &scale_bytes));
  REFUSES("the product overflows",
          mxfp4_sizes((int64_t)1 << 40, (int64_t)1 << 40, 32, &code_bytes, &scale_bytes));
  REFUSES("the product overflows", mxfp4_sizes((int64_t)1 << 60, 1, 32, &code_bytes, &scale_bytes));
  REFUSES("mxfp4_sizes: block_size is 64, neither 32 nor 16",
          mxfp4_sizes(1, 32, 64, &code_bytes, &scale_bytes));
  REFUSES("mxfp4_sizes: code_bytes is null", mxfp4_sizes(1, 32, 32, NULL, &scale_bytes));
  REFUSES("mxfp4_sizes: scale_bytes is null", mxfp4_sizes(1, 32, 32, &code_bytes, NULL));
}

static void every_dtype_goes_there_and_back(void) {
  const float representable[8] = {0.0f, 0.5f, -1.0f, 1.5f, 2.0f, -3.0f, 4.0f, 6.0f};
  for (int i = 0; i < kRows * kColumns; ++i) x[i] = representable[i % 8];
  WORKS(quantize(NULL));
  const mxfp4_matrix m = matrix();
  float back[kRows * kColumns];
  WORKS(mxfp4_dequantize(&m, back, sizeof back, MXFP4_F32, 0));
  CHECK(memcmp(back, x, sizeof x) == 0);

  const mxfp4_dtype halves[2] = {MXFP4_BF16, MXFP4_F16};
  for (int i = 0; i < 2; ++i) {
    uint16_t half[kRows * kColumns];
    uint8_t half_codes[kCodes], half_scales[kScales];
    WORKS(mxfp4_dequantize(&m, half, sizeof half, halves[i], 1));
    CHECK(half[2] == (halves[i] == MXFP4_BF16 ? 0xBF80 : 0xBC00));
    WORKS(mxfp4_quantize(half, sizeof half, halves[i], kRows, kColumns, NULL, half_codes, kCodes, half_scales,
                         kScales, NULL));
    CHECK(memcmp(half_codes, codes, kCodes) == 0 && memcmp(half_scales, scales, kScales) == 0);
  }
}

static void nothing_needs_no_pointers(void) {
  WORKS(mxfp4_quantize(NULL, 0, MXFP4_F32, 0, 32, NULL, NULL, 0, NULL, 0, NULL));
  mxfp4_matrix none = {.size = sizeof none, .rows = 7};
  WORKS(mxfp4_dequantize(&none, NULL, 0, MXFP4_F32, 1));
}

static void options_choose_the_recipe(void) {
  for (int i = 0; i < kRows * kColumns; ++i) x[i] = 0.1f;
  x[0] = 6.5f;  // floor saturates it under byte 127; rceil takes 128
  mxfp4_quantize_options options = {.size = sizeof options, .preset = "ocp"};
  WORKS(quantize(&options));
  CHECK(scales[0] == 127);
  options.preset = "triton";
  WORKS(quantize(&options));
  CHECK(scales[0] == 128);
  options.preset = NULL;
  options.scale_rule = "floor";
  WORKS(quantize(&options));
  CHECK(scales[0] == 127);

  options.preset = "ocp";
  REFUSES("mxfp4_quantize: preset 'ocp' and scale_rule 'floor' exclude each other", quantize(&options));
  options.scale_rule = NULL;
  options.preset = "ocp ";
  REFUSES("mxfp4_quantize: no preset 'ocp '; there are mxfp4, ocp, triton", quantize(&options));
  options.preset = NULL;
  options.scale_rule = "best";
  REFUSES("mxfp4_quantize: no scale rule 'best'; there are floor, even", quantize(&options));
}

static void blocks_can_have_16_elements(void) {
  for (int i = 0; i < kRows * kColumns; ++i) x[i] = number(i);
  uint8_t small_codes[kRows * 5 * 8], small_scales[kRows * 5];
  mxfp4_quantize_options options = {.size = sizeof options, .block_size = 16, .threads = 2};
  WORKS(mxfp4_quantize(x, sizeof x, MXFP4_F32, kRows, kColumns, &options, small_codes, sizeof small_codes,
                       small_scales, sizeof small_scales, NULL));
  mxfp4_matrix m = matrix();
  m.codes = small_codes;
  m.code_bytes = sizeof small_codes;
  m.scales = small_scales;
  m.scale_bytes = sizeof small_scales;
  m.block_size = 16;
  float back[kRows * kColumns];
  WORKS(mxfp4_dequantize(&m, back, sizeof back, MXFP4_F32, 2));
  for (int i = 0; i < kRows * kColumns; ++i) CHECK(fabsf(back[i] - x[i]) <= 1.0f);
  m.nibble_order = MXFP4_SPLIT16;
  REFUSES("split16 codes come in blocks of 32", mxfp4_dequantize(&m, back, sizeof back, MXFP4_F32, 2));
}

static void nibbles_can_be_in_the_order_of_ggml(void) {
  uint8_t bytes[16] = {0x72};  // elements 0 and 16
  const uint8_t one = 127;
  mxfp4_matrix m = {.size = sizeof m,
                    .codes = bytes,
                    .code_bytes = 16,
                    .scales = &one,
                    .scale_bytes = 1,
                    .rows = 1,
                    .columns = 32,
                    .nibble_order = MXFP4_SPLIT16};
  float back[32];
  WORKS(mxfp4_dequantize(&m, back, sizeof back, MXFP4_F32, 1));
  CHECK(back[0] == 1.0f && back[1] == 0.0f && back[16] == 6.0f);
}

static void nan_is_told_or_stored_as_the_policy_says(void) {
  for (int i = 0; i < kRows * kColumns; ++i) x[i] = 1.0f;
  x[2 * kColumns + 33] = NAN;
  mxfp4_quantize_options options = {.size = sizeof options};
  REFUSES("quantize: element [2, 33] is NaN", quantize(NULL));
  options.nonfinite = "error";
  REFUSES("quantize: element [2, 33] is NaN", quantize(&options));
  options.nonfinite = "nan_block";
  WORKS(quantize(&options));
  CHECK(scales[7] == 255 && scales[6] != 255);
  options.nonfinite = "saturate";
  WORKS(quantize(&options));
  CHECK(scales[7] != 255);
  options.nonfinite = NULL;
  options.preset = "ocp";
  REFUSES("quantize: element [2, 33] is NaN", quantize(&options));
  options.nonfinite = "preset";
  WORKS(quantize(&options));
  CHECK(scales[7] == 255);
  options.nonfinite = "ignore";
  REFUSES("mxfp4_quantize: no policy 'ignore' for NaN and infinity; there are error, nan_block",
          quantize(&options));
}

static void importance_moves_the_scale(void) {
  float importance[kColumns];
  for (int i = 0; i < kColumns; ++i) importance[i] = i == 0 ? 1000.0f : 0.0f;
  for (int i = 0; i < kRows * kColumns; ++i) x[i] = 0.3f;
  x[0] = 7.3f;  // 6 under byte 127, 8 under byte 128: the latter is better for it alone
  mxfp4_quantize_options options = {.size = sizeof options};
  WORKS(quantize(&options));
  const uint8_t without = scales[0];
  options.importance = importance;
  options.importance_count = kColumns;
  WORKS(quantize(&options));
  CHECK(without == 127 && scales[0] == 128);

  options.importance_count = kColumns - 1;
  REFUSES("an importance of 69 values fits no shape [3, 70]", quantize(&options));
  options.importance = NULL;
  REFUSES("mxfp4_quantize: importance is null", quantize(&options));
  options.importance = importance;
  options.importance_count = kColumns;
  importance[5] = -1.0f;
  REFUSES("importance 5 is -1", quantize(&options));
  options.scale_rule = "even";
  REFUSES("an importance needs the rule optimal, not even", quantize(&options));
}

static void the_error_is_measured_on_demand(void) {
  for (int i = 0; i < kRows * kColumns; ++i) x[i] = 0.5f;
  x[0] = 7.0f;
  x[1] = 0.6f;
  mxfp4_quantize_options floor = {.size = sizeof floor, .scale_rule = "floor"};
  mxfp4_error_stats stats = {.size = sizeof stats, .elements = 99};
  WORKS(mxfp4_quantize(x, sizeof x, MXFP4_F32, kRows, kColumns, &floor, codes, kCodes, scales, kScales,
                       &stats));
  CHECK(stats.size == sizeof stats);
  CHECK(stats.elements == kRows * kColumns && stats.blocks == kScales);
  CHECK(stats.lossless_blocks == kScales - 1 && stats.saturated == 1);
  CHECK(fabs(stats.noise - 1.01) < 1e-6);
  CHECK(fabs(stats.signal - (49 + 0.36 + 0.25 * (kRows * kColumns - 2))) < 1e-5);
  CHECK(fabs(stats.sqnr_db - 10 * log10(stats.signal / stats.noise)) < 1e-9);
}

static void wrong_arrays_are_refused(void) {
  for (int i = 0; i < kRows * kColumns; ++i) x[i] = 1.0f;
#define QUANTIZE(x, x_bytes, dtype, codes, code_bytes, scales, scale_bytes) \
  mxfp4_quantize(x, x_bytes, dtype, kRows, kColumns, NULL, codes, code_bytes, scales, scale_bytes, NULL)
  REFUSES("mxfp4_quantize: x is null", QUANTIZE(NULL, sizeof x, MXFP4_F32, codes, kCodes, scales, kScales));
  REFUSES("mxfp4_quantize: x has 839 bytes, but must have 840",
          QUANTIZE(x, sizeof x - 1, MXFP4_F32, codes, kCodes, scales, kScales));
  REFUSES("mxfp4_quantize: x has 840 bytes, but must have 420",
          QUANTIZE(x, sizeof x, MXFP4_F16, codes, kCodes, scales, kScales));
  REFUSES("mxfp4_quantize: dtype is 3, none of F32 (0), BF16 (1), F16 (2)",
          QUANTIZE(x, sizeof x, 3, codes, kCodes, scales, kScales));
  REFUSES("mxfp4_quantize: codes is null", QUANTIZE(x, sizeof x, MXFP4_F32, NULL, kCodes, scales, kScales));
  REFUSES("mxfp4_quantize: codes has 145 bytes, but must have 144",
          QUANTIZE(x, sizeof x, MXFP4_F32, codes, kCodes + 1, scales, kScales));
  REFUSES("mxfp4_quantize: scales is null", QUANTIZE(x, sizeof x, MXFP4_F32, codes, kCodes, NULL, kScales));
  REFUSES("mxfp4_quantize: scales has 8 bytes, but must have 9",
          QUANTIZE(x, sizeof x, MXFP4_F32, codes, kCodes, scales, kScales - 1));
#undef QUANTIZE
  REFUSES("mxfp4_quantize: a size of [-3, 70] is negative",
          mxfp4_quantize(x, sizeof x, MXFP4_F32, -3, 70, NULL, codes, kCodes, scales, kScales, NULL));
  mxfp4_quantize_options options = {.size = sizeof options, .threads = -1};
  REFUSES("mxfp4_quantize: threads is -1, below 0", quantize(&options));
  options.threads = 0;
  options.block_size = 8;
  REFUSES("mxfp4_quantize: block_size is 8, neither 32 nor 16", quantize(&options));
}

static void wrong_matrices_are_refused(void) {
  float back[kRows * kColumns];
  mxfp4_matrix m = matrix();
#define DEQUANTIZE(matrix) mxfp4_dequantize(matrix, back, sizeof back, MXFP4_F32, 1)
  REFUSES("mxfp4_dequantize: matrix is null", DEQUANTIZE(NULL));
  REFUSES("mxfp4_dequantize: out is null", mxfp4_dequantize(&m, NULL, sizeof back, MXFP4_F32, 1));
  REFUSES("mxfp4_dequantize: out has 840 bytes, but must have 420",
          mxfp4_dequantize(&m, back, sizeof back, MXFP4_BF16, 1));
  REFUSES("mxfp4_dequantize: dtype is -1", mxfp4_dequantize(&m, back, sizeof back, -1, 1));
  REFUSES("mxfp4_dequantize: threads is -7", mxfp4_dequantize(&m, back, sizeof back, MXFP4_F32, -7));
  m.codes = NULL;
  REFUSES("mxfp4_dequantize: codes is null", DEQUANTIZE(&m));
  m = matrix();
  m.scales = NULL;
  REFUSES("mxfp4_dequantize: scales is null", DEQUANTIZE(&m));
  m = matrix();
  m.code_bytes = 0;
  REFUSES("mxfp4_dequantize: codes has 0 bytes, but must have 144", DEQUANTIZE(&m));
  m = matrix();
  m.scale_bytes = 15;
  REFUSES("mxfp4_dequantize: scales has 15 bytes, but must have 9", DEQUANTIZE(&m));
  m = matrix();
  m.rows = INT64_MAX;
  REFUSES("mxfp4_dequantize: a size of [9223372036854775807, 70]", DEQUANTIZE(&m));
  m = matrix();
  m.block_size = 33;
  REFUSES("mxfp4_dequantize: block_size is 33", DEQUANTIZE(&m));
  m = matrix();
  m.nibble_order = 2;
  REFUSES("mxfp4_dequantize: matrix->nibble_order is 2", DEQUANTIZE(&m));
  m = matrix();
  m.size = 0;
  REFUSES("mxfp4_dequantize: matrix->size is 0, but the struct has at least ", DEQUANTIZE(&m));
#undef DEQUANTIZE
}

static void structs_of_other_versions_are_understood(void) {
  NEWER(mxfp4_quantize_options) options = {.known = {.size = sizeof options, .scale_rule = "even"}};
  for (int i = 0; i < kRows * kColumns; ++i) x[i] = 1.0f;
  WORKS(quantize(&options.known));
  options.added = 1;
  FAILS(MXFP4_UNSUPPORTED, "mxfp4_quantize: options has ", quantize(&options.known));
  options.known.size = sizeof options.known;
  WORKS(quantize(&options.known));
  options.known.size = sizeof options.known - 1;
  REFUSES("mxfp4_quantize: options->size is ", quantize(&options.known));

  NEWER(mxfp4_error_stats) stats = {.known = {.size = sizeof stats}};
  WORKS(mxfp4_quantize(x, sizeof x, MXFP4_F32, kRows, kColumns, NULL, codes, kCodes, scales, kScales,
                       &stats.known));
  CHECK(stats.known.blocks == kScales && stats.added == 0 && stats.known.size == sizeof stats);
  stats.known.size = 8;
  REFUSES("mxfp4_quantize: stats->size is 8", mxfp4_quantize(x, sizeof x, MXFP4_F32, kRows, kColumns, NULL,
                                                             codes, kCodes, scales, kScales, &stats.known));
}

static void the_layout_of_structs_stays(void) {
  if (sizeof(void*) != 8) return;
  CHECK(sizeof(mxfp4_matrix) == 64 && offsetof(mxfp4_matrix, nibble_order) == 60);
  CHECK(sizeof(mxfp4_quantize_options) == 56 && offsetof(mxfp4_quantize_options, threads) == 52);
  CHECK(sizeof(mxfp4_error_stats) == 64 && offsetof(mxfp4_error_stats, saturated) == 56);
  CHECK(sizeof(mxfp4_linear_options) == 16 && offsetof(mxfp4_linear_options, in_place) == 12);
  CHECK(sizeof(mxfp4_forward_options) == 24 && offsetof(mxfp4_forward_options, threads) == 20);
}

int main(void) {
  sizes_follow_from_the_shape();
  every_dtype_goes_there_and_back();
  nothing_needs_no_pointers();
  options_choose_the_recipe();
  blocks_can_have_16_elements();
  nibbles_can_be_in_the_order_of_ggml();
  nan_is_told_or_stored_as_the_policy_says();
  importance_moves_the_scale();
  the_error_is_measured_on_demand();
  wrong_arrays_are_refused();
  wrong_matrices_are_refused();
  structs_of_other_versions_are_understood();
  the_layout_of_structs_stays();
  return failures != 0;
}
