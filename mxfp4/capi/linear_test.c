// Linear layers from C: against sums in double precision, and every way to be refused.
#include <math.h>

#include "mxfp4/capi/test_capi.h"

enum { kN = 37, kK = 96, kTokens = 5, kCodes = kN * kK / 2, kScales = kN * kK / 32 };

static uint8_t codes[kCodes], scales[kScales];
static float weight[kN * kK], bias[kN], x[kTokens * kK], expected[kTokens * kN];
static double magnitude[kTokens * kN];  // sum |w x| + |bias|

static mxfp4_matrix matrix(void) {
  const mxfp4_matrix made = {.size = sizeof made,
                             .codes = codes,
                             .code_bytes = kCodes,
                             .scales = scales,
                             .scale_bytes = kScales,
                             .rows = kN,
                             .columns = kK};
  return made;
}

/// A quantised weight, its values, activations that BF16 holds, and what must come out.
static void prepare(void) {
  for (int i = 0; i < kN * kK; ++i) weight[i] = number(i) * 0.03f;
  for (int i = 0; i < kTokens * kK; ++i) x[i] = number(3 * i + 1);
  for (int i = 0; i < kN; ++i) bias[i] = number(i + 5);
  WORKS(mxfp4_quantize(weight, sizeof weight, MXFP4_F32, kN, kK, NULL, codes, kCodes, scales, kScales, NULL));
  const mxfp4_matrix m = matrix();
  WORKS(mxfp4_dequantize(&m, weight, sizeof weight, MXFP4_F32, 1));
  for (int t = 0; t < kTokens; ++t) {
    for (int n = 0; n < kN; ++n) {
      double sum = bias[n], sum_of_magnitudes = fabs(sum);
      for (int k = 0; k < kK; ++k) {
        const double product = (double)x[t * kK + k] * weight[n * kK + k];
        sum += product;
        sum_of_magnitudes += fabs(product);
      }
      expected[t * kN + n] = (float)sum;
      magnitude[t * kN + n] = sum_of_magnitudes;
    }
  }
}

/// The layer of the weight and the bias.
static mxfp4_linear* new_layer(void) {
  const mxfp4_matrix m = matrix();
  const mxfp4_linear_options options = {.size = sizeof options, .threads = 2};
  mxfp4_linear* layer = NULL;
  WORKS(mxfp4_linear_create(&m, bias, kN, &options, &layer));
  CHECK(layer != NULL);
  return layer;
}

static int close_to_expected(const float* y, double tolerance) {
  for (int i = 0; i < kTokens * kN; ++i) {
    if (!(fabs((double)y[i] - expected[i]) <= tolerance * magnitude[i])) return 0;  // NaN is not close
  }
  return 1;
}

static void forward_multiplies(void) {
  mxfp4_linear* layer = new_layer();
  CHECK(mxfp4_linear_rows(layer) == kN && mxfp4_linear_columns(layer) == kK);
  CHECK(mxfp4_linear_memory(layer) >= kCodes + kScales);
  float y[kTokens * kN], again[kTokens * kN];
  WORKS(mxfp4_linear_forward(layer, kTokens, x, sizeof x, MXFP4_F32, y, sizeof y, MXFP4_F32, NULL));
  CHECK(close_to_expected(y, 0x1p-13));

  const int32_t activations[3] = {MXFP4_EXACT, MXFP4_INT8, MXFP4_MXFP8};
  const double tolerances[3] = {0x1p-13, 0x1p-6, 0x1p-3};
  for (int i = 0; i < 3; ++i) {
    mxfp4_forward_options options = {.size = sizeof options, .activation = activations[i], .threads = 1};
    WORKS(mxfp4_linear_forward(layer, kTokens, x, sizeof x, MXFP4_F32, y, sizeof y, MXFP4_F32, &options));
    CHECK(close_to_expected(y, tolerances[i]));
    options.threads = 2;
    WORKS(mxfp4_linear_forward(layer, kTokens, x, sizeof x, MXFP4_F32, again, sizeof y, MXFP4_F32, &options));
    CHECK(memcmp(y, again, sizeof y) == 0);
  }
  mxfp4_linear_destroy(layer);
}

static void the_activation_mode_counts(void) {
  mxfp4_linear* layer = new_layer();
  float exact[kTokens * kN], rounded[kTokens * kN];
  float fine[kTokens * kK];
  for (int i = 0; i < kTokens * kK; ++i) fine[i] = x[i] + 0.0123f;
  WORKS(mxfp4_linear_forward(layer, kTokens, fine, sizeof fine, MXFP4_F32, exact, sizeof exact, MXFP4_F32,
                             NULL));
  const int32_t activations[2] = {MXFP4_INT8, MXFP4_MXFP8};
  for (int i = 0; i < 2; ++i) {
    const mxfp4_forward_options options = {.size = sizeof options, .activation = activations[i]};
    WORKS(mxfp4_linear_forward(layer, kTokens, fine, sizeof fine, MXFP4_F32, rounded, sizeof rounded,
                               MXFP4_F32, &options));
    CHECK(memcmp(exact, rounded, sizeof exact) != 0);
  }
  mxfp4_linear_destroy(layer);
}

static void a_layer_needs_no_arrays(void) {
  uint8_t* const own_codes = malloc(kCodes);
  uint8_t* const own_scales = malloc(kScales);
  float* const own_bias = malloc(sizeof bias);
  if (own_codes == NULL || own_scales == NULL || own_bias == NULL) exit(1);
  memcpy(own_codes, codes, kCodes);
  memcpy(own_scales, scales, kScales);
  memcpy(own_bias, bias, sizeof bias);
  mxfp4_matrix m = matrix();
  m.codes = own_codes;
  m.scales = own_scales;
  mxfp4_linear* layer = NULL;
  WORKS(mxfp4_linear_create(&m, own_bias, kN, NULL, &layer));
  memset(own_codes, 0x77, kCodes);
  memset(own_scales, 255, kScales);
  memset(own_bias, 255, sizeof bias);
  free(own_codes);
  free(own_scales);
  free(own_bias);
  float y[kTokens * kN];
  WORKS(mxfp4_linear_forward(layer, kTokens, x, sizeof x, MXFP4_F32, y, sizeof y, MXFP4_F32, NULL));
  CHECK(close_to_expected(y, 0x1p-13));
  mxfp4_linear_destroy(layer);
}

static void a_weight_in_place_is_not_copied(void) {
  uint8_t own_codes[kCodes];
  memcpy(own_codes, codes, kCodes);
  mxfp4_matrix m = matrix();
  m.codes = own_codes;
  const mxfp4_linear_options options = {.size = sizeof options, .threads = 2, .in_place = 1};
  mxfp4_linear* layer = NULL;
  WORKS(mxfp4_linear_create(&m, bias, kN, &options, &layer));
  const size_t blocks = (kK + 31) / 32;  // of which it keeps two numbers each
  CHECK(mxfp4_linear_memory(layer) == sizeof bias + 2 * blocks * sizeof(float));
  float y[kTokens * kN];
  WORKS(mxfp4_linear_forward(layer, kTokens, x, sizeof x, MXFP4_F32, y, sizeof y, MXFP4_F32, NULL));
  CHECK(close_to_expected(y, 0x1p-13));
  memset(own_codes, 0, kCodes);
  WORKS(mxfp4_linear_forward(layer, kTokens, x, sizeof x, MXFP4_F32, y, sizeof y, MXFP4_F32, NULL));
  for (int i = 0; i < kTokens * kN; ++i) CHECK(y[i] == bias[i % kN]);
  mxfp4_linear_destroy(layer);
}

static void dtypes_and_strides_are_the_callers(void) {
  mxfp4_linear* layer = new_layer();
  enum { kStride = kK + 7 };
  uint16_t wide[(kTokens - 1) * kStride + kK];
  for (size_t i = 0; i < sizeof wide / sizeof *wide; ++i) wide[i] = 0x7FC0;  // NaN, in the gaps
  for (int i = 0; i < kTokens * kK; ++i) wide[i / kK * kStride + i % kK] = bf16_of(x[i]);
  mxfp4_forward_options options = {.size = sizeof options, .x_stride = kStride};
  float y[kTokens * kN];
  WORKS(
      mxfp4_linear_forward(layer, kTokens, wide, sizeof wide, MXFP4_BF16, y, sizeof y, MXFP4_F32, &options));
  CHECK(close_to_expected(y, 0x1p-13));
  REFUSES("mxfp4_linear_forward: x has 1014 bytes, but must have at least 1016",
          mxfp4_linear_forward(layer, kTokens, wide, sizeof wide - 2, MXFP4_BF16, y, sizeof y, MXFP4_F32,
                               &options));
  options.x_stride = -1;
  REFUSES(
      "mxfp4_linear_forward: options->x_stride is -1, below 0",
      mxfp4_linear_forward(layer, kTokens, wide, sizeof wide, MXFP4_BF16, y, sizeof y, MXFP4_F32, &options));

  uint16_t halves[kTokens * kN];
  WORKS(
      mxfp4_linear_forward(layer, kTokens, x, sizeof x, MXFP4_F32, halves, sizeof halves, MXFP4_BF16, NULL));
  for (int i = 0; i < kTokens * kN; ++i) y[i] = of_bf16(halves[i]);
  CHECK(close_to_expected(y, 0x1p-8));
  uint16_t f16[kTokens * kN];
  WORKS(mxfp4_linear_forward(layer, kTokens, x, sizeof x, MXFP4_F32, f16, sizeof f16, MXFP4_F16, NULL));
  CHECK(memcmp(f16, halves, sizeof f16) != 0);
  mxfp4_linear_destroy(layer);
}

static void activations_need_no_alignment(void) {
  mxfp4_linear* layer = new_layer();
  char odd_x[sizeof x + 1], odd_y[sizeof expected + 1];
  memcpy(odd_x + 1, x, sizeof x);
  WORKS(mxfp4_linear_forward(layer, kTokens, odd_x + 1, sizeof x, MXFP4_F32, odd_y + 1, sizeof expected,
                             MXFP4_F32, NULL));
  float y[kTokens * kN];
  memcpy(y, odd_y + 1, sizeof y);
  CHECK(close_to_expected(y, 0x1p-13));
  mxfp4_linear_destroy(layer);
}

static void nothing_is_fine(void) {
  mxfp4_linear_destroy(NULL);
  CHECK(mxfp4_linear_rows(NULL) == 0 && mxfp4_linear_columns(NULL) == 0 && mxfp4_linear_memory(NULL) == 0);
  const mxfp4_matrix m = matrix();
  mxfp4_linear* layer = NULL;
  WORKS(mxfp4_linear_create(&m, NULL, 0, NULL, &layer));
  WORKS(mxfp4_linear_forward(layer, 0, NULL, 0, MXFP4_F32, NULL, 0, MXFP4_F32, NULL));
  float zeros[kK] = {0}, y[kN];
  WORKS(mxfp4_linear_forward(layer, 1, zeros, sizeof zeros, MXFP4_F32, y, sizeof y, MXFP4_F32, NULL));
  for (int n = 0; n < kN; ++n) CHECK(y[n] == 0.0f);
  mxfp4_linear_destroy(layer);
}

static void wrong_weights_are_refused(void) {
  mxfp4_linear* layer = NULL;
  mxfp4_matrix m = matrix();
#define CREATE() mxfp4_linear_create(&m, bias, kN, NULL, &layer)
  REFUSES("mxfp4_linear_create: layer is null", mxfp4_linear_create(&m, bias, kN, NULL, NULL));
  REFUSES("mxfp4_linear_create: weight is null", mxfp4_linear_create(NULL, bias, kN, NULL, &layer));
  REFUSES("mxfp4_linear_create: bias is null", mxfp4_linear_create(&m, NULL, kN, NULL, &layer));
  REFUSES("linear: 36 biases for 37 rows", mxfp4_linear_create(&m, bias, kN - 1, NULL, &layer));
  m.codes = NULL;
  REFUSES("mxfp4_linear_create: codes is null", CREATE());
  m = matrix();
  m.scale_bytes -= 1;
  REFUSES("mxfp4_linear_create: scales has 110 bytes, but must have 111", CREATE());
  m = matrix();
  m.nibble_order = 7;
  REFUSES("mxfp4_linear_create: weight->nibble_order is 7", CREATE());
  m = matrix();
  m.block_size = 5;
  REFUSES("mxfp4_linear_create: block_size is 5", CREATE());
  m = matrix();
  m.size = 8;
  REFUSES("mxfp4_linear_create: weight->size is 8", CREATE());
  uint8_t more_scales[2 * kScales] = {0};
  m = matrix();
  m.block_size = 16;
  m.scales = more_scales;
  m.scale_bytes = sizeof more_scales;
  REFUSES("linear: the weight is in blocks of 16, not 32", CREATE());
  m = matrix();
  layer = (mxfp4_linear*)&m;
  mxfp4_linear_options options = {.size = sizeof options, .threads = -2};
  REFUSES("mxfp4_linear_create: threads is -2", mxfp4_linear_create(&m, bias, kN, &options, &layer));
  CHECK(layer == NULL);
  options.threads = 0;
  options.in_place = 2;
  FAILS(MXFP4_UNSUPPORTED, "mxfp4_linear_create: options->in_place is 2, neither 0 nor 1",
        mxfp4_linear_create(&m, bias, kN, &options, &layer));
  options.size = 4;
  REFUSES("mxfp4_linear_create: options->size is 4", mxfp4_linear_create(&m, bias, kN, &options, &layer));
  NEWER(mxfp4_linear_options) newer = {.known = {.size = sizeof newer}, .added = 1};
  FAILS(MXFP4_UNSUPPORTED, "mxfp4_linear_create: options has ",
        mxfp4_linear_create(&m, bias, kN, &newer.known, &layer));
#undef CREATE
}

static void wrong_activations_are_refused(void) {
  mxfp4_linear* layer = new_layer();
  float y[kTokens * kN];
#define FORWARD(layer, tokens, x, x_bytes, x_dtype, y, y_bytes, y_dtype) \
  mxfp4_linear_forward(layer, tokens, x, x_bytes, x_dtype, y, y_bytes, y_dtype, NULL)
  REFUSES("mxfp4_linear_forward: layer is null",
          FORWARD(NULL, kTokens, x, sizeof x, MXFP4_F32, y, sizeof y, MXFP4_F32));
  REFUSES("mxfp4_linear_forward: a size of [-5, 96] is negative",
          FORWARD(layer, -kTokens, x, sizeof x, MXFP4_F32, y, sizeof y, MXFP4_F32));
  REFUSES("mxfp4_linear_forward: x is null",
          FORWARD(layer, kTokens, NULL, sizeof x, MXFP4_F32, y, sizeof y, MXFP4_F32));
  REFUSES("mxfp4_linear_forward: x has 1919 bytes, but must have at least 1920",
          FORWARD(layer, kTokens, x, sizeof x - 1, MXFP4_F32, y, sizeof y, MXFP4_F32));
  REFUSES("mxfp4_linear_forward: x_dtype is 7",
          FORWARD(layer, kTokens, x, sizeof x, 7, y, sizeof y, MXFP4_F32));
  REFUSES("mxfp4_linear_forward: y is null",
          FORWARD(layer, kTokens, x, sizeof x, MXFP4_F32, NULL, sizeof y, MXFP4_F32));
  REFUSES("mxfp4_linear_forward: y has 740 bytes, but must have 370",
          FORWARD(layer, kTokens, x, sizeof x, MXFP4_F32, y, sizeof y, MXFP4_F16));
  REFUSES("mxfp4_linear_forward: y_dtype is -1",
          FORWARD(layer, kTokens, x, sizeof x, MXFP4_F32, y, sizeof y, -1));
#undef FORWARD
#define FORWARD(options) \
  mxfp4_linear_forward(layer, kTokens, x, sizeof x, MXFP4_F32, y, sizeof y, MXFP4_F32, options)
  mxfp4_forward_options options = {.size = sizeof options, .activation = 3};
  REFUSES("mxfp4_linear_forward: options->activation is 3, none of exact (0), int8 (1), mxfp8 (2)",
          FORWARD(&options));
  options.activation = 0;
  options.threads = -1;
  REFUSES("mxfp4_linear_forward: threads is -1", FORWARD(&options));
  options.threads = 0;
  options.x_stride = INT64_MAX;
  REFUSES("the product overflows", FORWARD(&options));
  options.size = 0;
  REFUSES("mxfp4_linear_forward: options->size is 0", FORWARD(&options));
  NEWER(mxfp4_forward_options) newer = {.known = {.size = sizeof newer}, .added = 1};
  FAILS(MXFP4_UNSUPPORTED, "mxfp4_linear_forward: options has ", FORWARD(&newer.known));
#undef FORWARD
  mxfp4_linear_destroy(layer);
}

int main(void) {
  prepare();
  forward_multiplies();
  the_activation_mode_counts();
  a_layer_needs_no_arrays();
  a_weight_in_place_is_not_copied();
  dtypes_and_strides_are_the_callers();
  activations_need_no_alignment();
  nothing_is_fine();
  wrong_weights_are_refused();
  wrong_activations_are_refused();
  return failures != 0;
}
