// A Linear layer of each expert from C: against sums in double precision, and every way to be refused.
#include <math.h>

#include "mxfp4/capi/test_capi.h"

enum { kE = 3, kN = 37, kK = 96, kTokens = 4, kTop = 2, kSlots = kTokens * kTop, kStride = kK + 8 };

static uint8_t codes[kE * kN * kK / 2], scales[kE * kN * kK / 32];
static float weight[kE * kN * kK], bias[kE * kN], x[kSlots * kStride];
static const int32_t ids[kSlots] = {2, 0, 1, 1, -1, 2, 0, -1};
static mxfp4_matrix matrix;

static void prepare(void) {
  for (int i = 0; i < kE * kN * kK; ++i) weight[i] = number(i) * 0.05f;
  for (int i = 0; i < kE * kN; ++i) bias[i] = number(i + 3);
  for (int i = 0; i < kSlots * kStride; ++i) x[i] = number(5 * i + 2) * 0.25f;
  matrix = quantised(weight, kE * kN, kK, codes, scales);
}

static mxfp4_expert_linear* new_layer(const mxfp4_linear_options* options) {
  mxfp4_expert_linear* layer = NULL;
  WORKS(mxfp4_expert_linear_create(&matrix, kE, bias, kE * kN, options, &layer));
  CHECK(layer != NULL);
  return layer;
}

/// Whether y is what the definition says; rows of x begin every `stride` elements, for each slot or token.
static int is_gathered(const float* y, int per_slot, int stride) {
  for (int slot = 0; slot < kSlots; ++slot) {
    const float* in = x + (per_slot ? slot : slot / kTop) * stride;
    for (int n = 0; n < kN; ++n) {
      const int row = ids[slot] * kN + n;
      double sum = 0, magnitude = 0;
      if (ids[slot] >= 0) sum = magnitude = (double)bias[row];
      for (int k = 0; ids[slot] >= 0 && k < kK; ++k) {
        const double term = (double)weight[row * kK + k] * (double)in[k];
        sum += term;
        magnitude = fabs(magnitude) + fabs(term);
      }
      if (!(fabs((double)y[slot * kN + n] - sum) <= 0x1p-13 * magnitude)) return 0;
    }
  }
  return 1;
}

static void every_slot_has_its_expert(void) {
  const mxfp4_linear_options in_place = {.size = sizeof in_place, .in_place = 1};
  const mxfp4_forward_options strided = {.size = sizeof strided, .x_stride = kStride, .threads = 2};
  for (int kind = 0; kind < 2; ++kind) {
    mxfp4_expert_linear* layer = new_layer(kind == 0 ? NULL : &in_place);
    CHECK(mxfp4_expert_linear_count(layer) == kE && mxfp4_expert_linear_rows(layer) == kN &&
          mxfp4_expert_linear_columns(layer) == kK);
    CHECK((mxfp4_expert_linear_memory(layer) >= sizeof codes) == (kind == 0));
    float y[kSlots * kN];
#define GATHER(x_rows, options)                                                                          \
  WORKS(mxfp4_expert_linear_gather(layer, kTokens, kTop, ids, kSlots, x_rows, x, sizeof x, MXFP4_F32, y, \
                                   sizeof y, MXFP4_F32, options))
    GATHER(kTokens, NULL);
    CHECK(is_gathered(y, 0, kK) && !is_gathered(y, 1, kK));
    GATHER(kSlots, NULL);
    CHECK(is_gathered(y, 1, kK));
    GATHER(kTokens, &strided);
    CHECK(is_gathered(y, 0, kStride));
    GATHER(kSlots, &strided);
    CHECK(is_gathered(y, 1, kStride));
#undef GATHER
    mxfp4_expert_linear_destroy(layer);
  }
}

static void nothing_is_fine(void) {
  mxfp4_expert_linear_destroy(NULL);
  CHECK(mxfp4_expert_linear_count(NULL) == 0 && mxfp4_expert_linear_rows(NULL) == 0 &&
        mxfp4_expert_linear_columns(NULL) == 0 && mxfp4_expert_linear_memory(NULL) == 0);
  mxfp4_expert_linear* layer = NULL;
  WORKS(mxfp4_expert_linear_create(&matrix, kE, NULL, 0, NULL, &layer));
  WORKS(
      mxfp4_expert_linear_gather(layer, 0, kTop, NULL, 0, 0, NULL, 0, MXFP4_F32, NULL, 0, MXFP4_BF16, NULL));
  mxfp4_expert_linear_destroy(layer);
}

static void wrong_calls_are_refused(void) {
  mxfp4_expert_linear* layer = NULL;
#define CREATE(weight, experts, bias, count) \
  mxfp4_expert_linear_create(weight, experts, bias, count, NULL, &layer)
  REFUSES("mxfp4_expert_linear_create: layer is null",
          mxfp4_expert_linear_create(&matrix, kE, NULL, 0, NULL, NULL));
  layer = (mxfp4_expert_linear*)&matrix;
  REFUSES("mxfp4_expert_linear_create: weight is null", CREATE(NULL, kE, NULL, 0));
  CHECK(layer == NULL);
  REFUSES("mxfp4_expert_linear_create: weight->rows is 111, which 0 experts cannot share",
          CREATE(&matrix, 0, NULL, 0));
  REFUSES("mxfp4_expert_linear_create: weight->rows is 111, which 2 experts cannot share",
          CREATE(&matrix, 2, NULL, 0));
  REFUSES("mxfp4_expert_linear_create: bias has 37 values, but must have 111", CREATE(&matrix, kE, bias, kN));
  REFUSES("mxfp4_expert_linear_create: bias is null", CREATE(&matrix, kE, NULL, kE * kN));
#undef CREATE
  layer = new_layer(NULL);
  float y[kSlots * kN];
#define GATHER(layer, tokens, top_k, ids, count, x_rows, x_bytes, y_bytes)                                \
  mxfp4_expert_linear_gather(layer, tokens, top_k, ids, count, x_rows, x, x_bytes, MXFP4_F32, y, y_bytes, \
                             MXFP4_F32, NULL)
  REFUSES("mxfp4_expert_linear_gather: layer is null",
          GATHER(NULL, kTokens, kTop, ids, kSlots, kTokens, sizeof x, sizeof y));
  REFUSES("mxfp4_expert_linear_gather: ids has 7 values, but must have 8",
          GATHER(layer, kTokens, kTop, ids, kSlots - 1, kTokens, sizeof x, sizeof y));
  REFUSES("mxfp4_expert_linear_gather: ids is null",
          GATHER(layer, kTokens, kTop, NULL, kSlots, kTokens, sizeof x, sizeof y));
  REFUSES("mxfp4_expert_linear_gather: a size of [4, -2] is negative",
          GATHER(layer, kTokens, -kTop, ids, kSlots, kTokens, sizeof x, sizeof y));
  REFUSES("mxfp4_expert_linear_gather: x has 5 rows, neither 4, one for each token, nor 2 times that",
          GATHER(layer, kTokens, kTop, ids, kSlots, 5, sizeof x, sizeof y));
  REFUSES("mxfp4_expert_linear_gather: x has 3071 bytes, but must have at least 3072",
          GATHER(layer, kTokens, kTop, ids, kSlots, kSlots, 3071, sizeof y));
  REFUSES("mxfp4_expert_linear_gather: y has 1180 bytes, but must have 1184",
          GATHER(layer, kTokens, kTop, ids, kSlots, kSlots, sizeof x, sizeof y - 4));
  const int32_t wrong[kSlots] = {0, 1, 2, kE};
  REFUSES("expert_linear: token 1, slot 1: expert 3 of 3",
          GATHER(layer, kTokens, kTop, wrong, kSlots, kTokens, sizeof x, sizeof y));
#undef GATHER
  mxfp4_expert_linear_destroy(layer);
}

int main(void) {
  prepare();
  every_slot_has_its_expert();
  nothing_is_fine();
  wrong_calls_are_refused();
  return failures != 0;
}
