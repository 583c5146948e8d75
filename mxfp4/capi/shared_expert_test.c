// Shared experts from C: against sums in double precision, and every way to be refused.
#include <math.h>

#include "mxfp4/capi/test_capi.h"

enum { kH = 64, kI = 40, kTokens = 3, kRow = 64 };

static uint8_t codes[3][kH * kRow / 2], scales[3][kH * kRow / 32];
static float gate[kI * kH], up[kI * kH], down[kH * kI];
static float gate_bias[kI], down_bias[kH], share[kH], x[kTokens * kH];
static mxfp4_matrix gate_matrix, up_matrix, down_matrix;

static void prepare(void) {
  for (int i = 0; i < kI * kH; ++i) gate[i] = number(i) * 0.02f;
  for (int i = 0; i < kI * kH; ++i) up[i] = number(3 * i + 4) * 0.03f;
  for (int i = 0; i < kH * kI; ++i) down[i] = number(7 * i + 2) * 0.03f;
  for (int i = 0; i < kI; ++i) gate_bias[i] = number(i) * 0.1f;
  for (int i = 0; i < kH; ++i) down_bias[i] = number(i + 8) * 0.1f;
  for (int i = 0; i < kH; ++i) share[i] = number(i + 1) * 0.02f;
  for (int i = 0; i < kTokens * kH; ++i) x[i] = number(3 * i + 1) * 0.25f;
  gate_matrix = quantised(gate, kI, kH, codes[0], scales[0]);
  up_matrix = quantised(up, kI, kH, codes[1], scales[1]);
  down_matrix = quantised(down, kH, kI, codes[2], scales[2]);
}

static mxfp4_expert_weights weights(void) {
  const mxfp4_expert_weights w = {.size = sizeof w,
                                  .experts = 1,
                                  .gate = &gate_matrix,
                                  .up = &up_matrix,
                                  .down = &down_matrix,
                                  .gate_bias = gate_bias,
                                  .gate_bias_count = kI,
                                  .down_bias = down_bias,
                                  .down_bias_count = kH,
                                  .limit = 2};
  return w;
}

static double dot(const float* a, const float* b, int count) {
  double sum = 0;
  for (int i = 0; i < count; ++i) sum += (double)a[i] * (double)b[i];
  return sum;
}

/// Whether y is `before` and what the expert makes of x, in double precision.
static int is_added(const float* y, float before, int shared) {
  for (int t = 0; t < kTokens; ++t) {
    const float* in = x + t * kH;
    const double factor = shared ? 1 / (1 + exp(-dot(share, in, kH))) : 1;
    float activated[kI];
    for (int i = 0; i < kI; ++i) {
      const double g = fmin(dot(gate + i * kH, in, kH) + (double)gate_bias[i], 2);
      const double u = fmin(fmax(dot(up + i * kH, in, kH), -2), 2);
      activated[i] = (float)(g / (1 + exp(-g)) * u);
    }
    for (int n = 0; n < kH; ++n) {
      const double made = factor * (dot(down + n * kI, activated, kI) + (double)down_bias[n]);
      if (!(fabs((double)y[t * kH + n] - (double)before - made) <= 2e-4)) return 0;
    }
  }
  return 1;
}

static void what_it_makes_is_added(void) {
  for (int shared = 0; shared < 2; ++shared) {
    mxfp4_shared_expert* expert = NULL;
    const mxfp4_expert_weights w = weights();
    WORKS(mxfp4_shared_expert_create(&w, shared ? share : NULL, shared ? kH : 0, NULL, &expert));
    CHECK(mxfp4_shared_expert_hidden(expert) == kH && mxfp4_shared_expert_intermediate(expert) == kI);
    CHECK(mxfp4_shared_expert_memory(expert) >= 3 * kI * kH / 2);
    float y[kTokens * kH];
    for (int i = 0; i < kTokens * kH; ++i) y[i] = 3;
    WORKS(mxfp4_shared_expert_add(expert, kTokens, x, sizeof x, MXFP4_F32, y, sizeof y, NULL));
    CHECK(is_added(y, 3, shared) && !is_added(y, 3, !shared) && !is_added(y, 0, shared));
    mxfp4_shared_expert_destroy(expert);
  }
}

static void nothing_is_fine(void) {
  mxfp4_shared_expert_destroy(NULL);
  CHECK(mxfp4_shared_expert_hidden(NULL) == 0 && mxfp4_shared_expert_intermediate(NULL) == 0 &&
        mxfp4_shared_expert_memory(NULL) == 0);
}

static void wrong_calls_are_refused(void) {
  mxfp4_shared_expert* expert = NULL;
  mxfp4_expert_weights w = weights();
  mxfp4_matrix fewer = down_matrix;
#define CREATE(share, count) mxfp4_shared_expert_create(&w, share, count, NULL, &expert)
#define REFUSED(part)             \
  REFUSES(part, CREATE(NULL, 0)); \
  w = weights()
  REFUSES("mxfp4_shared_expert_create: expert is null", mxfp4_shared_expert_create(&w, NULL, 0, NULL, NULL));
  expert = (mxfp4_shared_expert*)&w;
  REFUSES("mxfp4_shared_expert_create: weights is null",
          mxfp4_shared_expert_create(NULL, NULL, 0, NULL, &expert));
  CHECK(expert == NULL);
  w.experts = 2;
  REFUSED("mxfp4_shared_expert_create: weights->experts is 2, but a shared expert is one");
  w.gate_up = &gate_matrix;
  REFUSED("mxfp4_shared_expert_create: weights->gate_up is given, but gate and up must be apart");
  w.gate_up_bias_count = 80;
  REFUSED("mxfp4_shared_expert_create: weights->gate_up_bias has 80 values, but must have 0");
  w.up = NULL;
  REFUSED("mxfp4_shared_expert_create: up is null");
  w.down_bias = NULL;
  REFUSED("mxfp4_shared_expert_create: weights->down_bias is null");
  w.up = &fewer;
  REFUSED("shared expert: up has shape [64, 40], not [40, 64]");
  w.limit = -1;
  REFUSED("shared expert: a gated unit with alpha 1, beta 0, limit -1");
  fewer.size = 8;
  w.down = &fewer;
  REFUSED("mxfp4_shared_expert_create: down->size is 8");
  REFUSES("mxfp4_shared_expert_create: share has 63 values, but must have 64", CREATE(share, kH - 1));
  REFUSES("mxfp4_shared_expert_create: share is null", CREATE(NULL, kH));
#undef REFUSED
  WORKS(CREATE(NULL, 0));
#undef CREATE
  float y[kTokens * kH];
#define ADD(expert, x_bytes, y, y_bytes) \
  mxfp4_shared_expert_add(expert, kTokens, x, x_bytes, MXFP4_F32, y, y_bytes, NULL)
  REFUSES("mxfp4_shared_expert_add: expert is null", ADD(NULL, sizeof x, y, sizeof y));
  REFUSES("mxfp4_shared_expert_add: x has 764 bytes, but must have at least 768",
          ADD(expert, sizeof x - 4, y, sizeof y));
  REFUSES("mxfp4_shared_expert_add: y has 384 bytes, but must have 768",
          ADD(expert, sizeof x, y, sizeof y / 2));
  REFUSES("mxfp4_shared_expert_add: y is null", ADD(expert, sizeof x, NULL, sizeof y));
#undef ADD
  mxfp4_shared_expert_destroy(expert);
}

int main(void) {
  prepare();
  what_it_makes_is_added();
  nothing_is_fine();
  wrong_calls_are_refused();
  return failures != 0;
}
