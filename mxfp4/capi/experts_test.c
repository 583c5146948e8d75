// Mixtures of experts from C: against sums in double precision, and every way to be refused.
#include <math.h>

#include "mxfp4/capi/test_capi.h"

enum { kE = 5, kH = 96, kI = 40, kTokens = 6, kTop = 2, kSlots = kTokens * kTop };
enum { kInRows = 2 * kE * kI, kOutRows = kE * kH, kBlocksOut = (kI + 31) / 32 };

/// A matrix with all that it refers to.
typedef struct {
  uint8_t codes[kInRows * kH / 2 + kOutRows * 64 / 2], scales[kInRows * kH / 32 + kOutRows * kBlocksOut];
  float weight[kInRows * kH + kOutRows * kI], bias[kInRows + kOutRows];
  mxfp4_matrix matrix;
} projection;

static projection gate_up, gate, up, down;
static float x[kTokens * kH], weights[kSlots];
static int32_t ids[kSlots];

static void finish(projection* made, int rows, int columns) {
  made->matrix = quantised(made->weight, rows, columns, made->codes, made->scales);
  CHECK(made->matrix.code_bytes <= sizeof made->codes && made->matrix.scale_bytes <= sizeof made->scales);
}

static void prepare(void) {
  for (int i = 0; i < kInRows * kH; ++i) gate_up.weight[i] = number(i) * 0.02f;
  for (int i = 0; i < kOutRows * kI; ++i) down.weight[i] = number(7 * i + 2) * 0.03f;
  for (int i = 0; i < kInRows; ++i) gate_up.bias[i] = number(i + 5) * 0.1f;
  for (int i = 0; i < kOutRows; ++i) down.bias[i] = number(i + 8) * 0.1f;
  for (int i = 0; i < kTokens * kH; ++i) x[i] = number(3 * i + 1) * 0.25f;
  for (int i = 0; i < kSlots; ++i) {
    ids[i] = (i * 3 + i / 4) % kE;
    weights[i] = 0.125f * (float)(i % 7) - 0.25f;
  }
  ids[4] = -1;
  finish(&gate_up, kInRows, kH);
  finish(&down, kOutRows, kI);
  for (int row = 0; row < kInRows; ++row) {  // the same rows, apart
    projection* const to = row % 2 == 0 ? &gate : &up;
    memcpy(to->weight + row / 2 * kH, gate_up.weight + row * kH, kH * sizeof(float));
    to->bias[row / 2] = gate_up.bias[row];
  }
  finish(&gate, kInRows / 2, kH);
  finish(&up, kInRows / 2, kH);
}

/// gpt-oss's layer.
static mxfp4_expert_weights alternating(void) {
  const mxfp4_expert_weights w = {.size = sizeof w,
                                  .experts = kE,
                                  .gate_up = &gate_up.matrix,
                                  .down = &down.matrix,
                                  .gate_up_bias = gate_up.bias,
                                  .gate_up_bias_count = kInRows,
                                  .down_bias = down.bias,
                                  .down_bias_count = kOutRows,
                                  .alpha = 1.702f,
                                  .beta = 1,
                                  .limit = 7};
  return w;
}

/// Mixtral's: no biases, and alpha, beta, limit at their defaults.
static mxfp4_expert_weights apart(void) {
  const mxfp4_expert_weights w = {
      .size = sizeof w, .experts = kE, .gate = &gate.matrix, .up = &up.matrix, .down = &down.matrix};
  return w;
}

static mxfp4_expert_choice choice(void) {
  const mxfp4_expert_choice c = {.size = sizeof c,
                                 .ids = ids,
                                 .id_count = kSlots,
                                 .weights = weights,
                                 .weight_count = kSlots,
                                 .top_k = kTop};
  return c;
}

static mxfp4_experts* new_experts(const mxfp4_expert_weights* w) {
  mxfp4_experts* experts = NULL;
  WORKS(mxfp4_experts_create(w, NULL, &experts));
  CHECK(experts != NULL);
  return experts;
}

/// Row `row` of gate_up times x, times `factor`.
static double projected(int row, const float* in, double factor, int biased) {
  double sum = biased ? gate_up.bias[row] : 0;
  for (int k = 0; k < kH; ++k) sum += (double)gate_up.weight[row * kH + k] * (double)in[k] * factor;
  return sum;
}

/// Whether y is what the layer's definition says, in double precision.
static int close_to_definition(const float* y, const mxfp4_expert_weights* w, int on_input,
                               double tolerance) {
  const int biased = w->down_bias_count > 0;
  const double alpha = w->alpha == 0 ? 1 : (double)w->alpha, limit = w->limit == 0 ? 1e30 : (double)w->limit;
  for (int t = 0; t < kTokens; ++t) {
    double sums[kH] = {0}, magnitudes[kH] = {0};
    for (int slot = t * kTop; slot < (t + 1) * kTop; ++slot) {
      if (ids[slot] < 0) continue;
      const double in = on_input ? (double)weights[slot] : 1, out = on_input ? 1 : (double)weights[slot];
      double activated[kI];
      for (int i = 0; i < kI; ++i) {
        const int row = (ids[slot] * kI + i) * 2;
        const double g = fmin(projected(row, x + t * kH, in, biased), limit);
        const double u = fmin(fmax(projected(row + 1, x + t * kH, in, biased), -limit), limit);
        activated[i] = g / (1 + exp(-alpha * g)) * (u + (double)w->beta);
      }
      for (int n = 0; n < kH; ++n) {
        const int row = ids[slot] * kH + n;
        double sum = biased ? down.bias[row] : 0, magnitude = fabs(sum);
        for (int i = 0; i < kI; ++i) {
          sum += (double)down.weight[row * kI + i] * activated[i];
          magnitude += fabs((double)down.weight[row * kI + i] * activated[i]);
        }
        sums[n] += out * sum;
        magnitudes[n] += fabs(out) * magnitude;
      }
    }
    for (int n = 0; n < kH; ++n) {
      if (!(fabs((double)y[t * kH + n] - sums[n]) <= tolerance * magnitudes[n])) return 0;
    }
  }
  return 1;
}

static void forward_computes_its_definition(void) {
  const mxfp4_expert_weights kinds[2] = {alternating(), apart()};
  for (int kind = 0; kind < 2; ++kind) {
    mxfp4_experts* experts = new_experts(&kinds[kind]);
    CHECK(mxfp4_experts_count(experts) == kE && mxfp4_experts_hidden(experts) == kH &&
          mxfp4_experts_intermediate(experts) == kI);
    CHECK(mxfp4_experts_memory(experts) >= gate_up.matrix.code_bytes + down.matrix.code_bytes);
    mxfp4_expert_choice c = choice();
    float y[kTokens * kH], again[kTokens * kH];
    for (c.weights_on_input = 0; c.weights_on_input < 2; ++c.weights_on_input) {
      WORKS(
          mxfp4_experts_forward(experts, &c, kTokens, x, sizeof x, MXFP4_F32, y, sizeof y, MXFP4_F32, NULL));
      CHECK(close_to_definition(y, &kinds[kind], c.weights_on_input, 0x1p-12));
    }
    c.weights_on_input = 0;
    const mxfp4_forward_options rounded = {.size = sizeof rounded, .activation = MXFP4_INT8, .threads = 2};
    WORKS(mxfp4_experts_forward(experts, &c, kTokens, x, sizeof x, MXFP4_F32, again, sizeof again, MXFP4_F32,
                                &rounded));
    CHECK(close_to_definition(again, &kinds[kind], 0, 0x1p-5));
    CHECK(!close_to_definition(again, &kinds[kind], 0, 0x1p-12));
    mxfp4_experts_destroy(experts);
  }
}

static void both_layouts_are_one_layer(void) {
  mxfp4_expert_weights w = apart();
  w.gate_bias = gate.bias;
  w.up_bias = up.bias;
  w.gate_bias_count = w.up_bias_count = kInRows / 2;
  w.down_bias = down.bias;
  w.down_bias_count = kOutRows;
  w.alpha = 1.702f;
  w.beta = 1;
  w.limit = 7;
  mxfp4_experts* experts = new_experts(&w);
  const mxfp4_expert_choice c = choice();
  float y[kTokens * kH];
  WORKS(mxfp4_experts_forward(experts, &c, kTokens, x, sizeof x, MXFP4_F32, y, sizeof y, MXFP4_F32, NULL));
  CHECK(close_to_definition(y, &w, 0, 0x1p-12));
  mxfp4_experts_destroy(experts);
}

static void weights_are_copied_unless_in_place(void) {
  static uint8_t own[sizeof down.codes];
  memcpy(own, down.codes, sizeof own);
  mxfp4_matrix m = down.matrix;
  m.codes = own;
  mxfp4_expert_weights w = apart();
  w.down = &m;
  const mxfp4_linear_options options = {.size = sizeof options, .in_place = 1};
  mxfp4_experts *packed = new_experts(&w), *in_place = NULL;
  WORKS(mxfp4_experts_create(&w, &options, &in_place));
  CHECK(mxfp4_experts_memory(in_place) < 1024 && mxfp4_experts_memory(packed) > 10000);
  const mxfp4_expert_choice c = choice();
  float y[kTokens * kH];
#define FORWARD(experts) \
  WORKS(mxfp4_experts_forward(experts, &c, kTokens, x, sizeof x, MXFP4_F32, y, sizeof y, MXFP4_F32, NULL))
  FORWARD(in_place);
  CHECK(close_to_definition(y, &w, 0, 0x1p-12));
  memset(own, 0, sizeof own);
  FORWARD(packed);
  CHECK(close_to_definition(y, &w, 0, 0x1p-12));
  FORWARD(in_place);
  for (int i = 0; i < kTokens * kH; ++i) CHECK(y[i] == 0.0f);
#undef FORWARD
  mxfp4_experts_destroy(packed);
  mxfp4_experts_destroy(in_place);
}

static void nothing_is_fine(void) {
  mxfp4_experts_destroy(NULL);
  CHECK(mxfp4_experts_count(NULL) == 0 && mxfp4_experts_hidden(NULL) == 0 &&
        mxfp4_experts_intermediate(NULL) == 0 && mxfp4_experts_memory(NULL) == 0);
  const mxfp4_expert_weights w = apart();
  mxfp4_experts* experts = new_experts(&w);
  const mxfp4_expert_choice none = {.size = sizeof none};
  WORKS(mxfp4_experts_forward(experts, &none, 0, NULL, 0, MXFP4_F32, NULL, 0, MXFP4_F32, NULL));
  float y[kTokens * kH] = {1};
  WORKS(mxfp4_experts_forward(experts, &none, kTokens, x, sizeof x, MXFP4_F32, y, sizeof y, MXFP4_F32, NULL));
  for (int i = 0; i < kTokens * kH; ++i) CHECK(y[i] == 0.0f);
  mxfp4_experts_destroy(experts);
}

static void wrong_weights_are_refused(void) {
  mxfp4_experts* experts = NULL;
  mxfp4_expert_weights w = alternating();
#define CREATE() mxfp4_experts_create(&w, NULL, &experts)
#define REFUSED(part)      \
  REFUSES(part, CREATE()); \
  w = alternating()
  REFUSES("mxfp4_experts_create: experts is null", mxfp4_experts_create(&w, NULL, NULL));
  experts = (mxfp4_experts*)&w;
  REFUSES("mxfp4_experts_create: weights is null", mxfp4_experts_create(NULL, NULL, &experts));
  CHECK(experts == NULL);
  w.size = 8;
  REFUSED("mxfp4_experts_create: weights->size is 8");
  w.experts = 0;
  REFUSED("mxfp4_experts_create: weights->experts is 0, below 1");
  w.experts = 7;
  REFUSED("mxfp4_experts_create: gate_up->rows is 400, which 7 experts cannot share");
  w.experts = INT64_MAX;
  REFUSED("mxfp4_experts_create: gate_up->rows is 400, which 9223372036854775807 experts cannot share");
  w.experts = 10;
  REFUSED("experts: gate_up has shape [40, 96], not [80, 48]");
  w.down = NULL;
  REFUSED("mxfp4_experts_create: weights->down is null");
  w.gate_up = NULL;
  REFUSED("mxfp4_experts_create: weights->gate_up_bias has 400 values, but must have 0");
  w.gate = &gate.matrix;
  REFUSED("experts: either gate_up or gate and up must be given");
  w.gate_up_bias_count -= 1;
  REFUSED("mxfp4_experts_create: weights->gate_up_bias has 399 values, but must have 400");
  w.down_bias = NULL;
  REFUSED("mxfp4_experts_create: weights->down_bias is null");
  w.limit = -1;
  REFUSED("experts: a gated unit with alpha 1.702, beta 1, limit -1");
  mxfp4_matrix m = down.matrix;
  w.down = &m;
  m.scale_bytes -= 1;
  REFUSED("mxfp4_experts_create: scales has 959 bytes, but must have 960");
  w = apart();
  w.up = NULL;
  REFUSED("experts: up: there are no weights");
  mxfp4_linear_options options = {.size = sizeof options, .in_place = 3};
  FAILS(MXFP4_UNSUPPORTED, "mxfp4_experts_create: options->in_place is 3, neither 0 nor 1",
        mxfp4_experts_create(&w, &options, &experts));
  NEWER(mxfp4_expert_weights) newer = {.known = {.size = sizeof newer}, .added = 1};
  FAILS(MXFP4_UNSUPPORTED, "mxfp4_experts_create: weights has ",
        mxfp4_experts_create(&newer.known, NULL, &experts));
#undef REFUSED
#undef CREATE
}

static void wrong_calls_are_refused(void) {
  const mxfp4_expert_weights w = alternating();
  mxfp4_experts* experts = new_experts(&w);
  mxfp4_expert_choice c = choice();
  float y[kTokens * kH];
#define FORWARD(experts, choice, x_bytes, y_dtype) \
  mxfp4_experts_forward(experts, choice, kTokens, x, x_bytes, MXFP4_F32, y, sizeof y, y_dtype, NULL)
#define REFUSED(part)                                       \
  REFUSES(part, FORWARD(experts, &c, sizeof x, MXFP4_F32)); \
  c = choice()
  REFUSES("mxfp4_experts_forward: experts is null", FORWARD(NULL, &c, sizeof x, MXFP4_F32));
  REFUSES("mxfp4_experts_forward: choice is null", FORWARD(experts, NULL, sizeof x, MXFP4_F32));
  REFUSES("mxfp4_experts_forward: x has 2300 bytes, but must have at least 2304",
          FORWARD(experts, &c, sizeof x - 4, MXFP4_F32));
  REFUSES("mxfp4_experts_forward: y has 2304 bytes, but must have 1152",
          FORWARD(experts, &c, sizeof x, MXFP4_BF16));
  c.size = 3;
  REFUSED("mxfp4_experts_forward: choice->size is 3");
  c.id_count -= 1;
  REFUSED("mxfp4_experts_forward: choice->ids has 11 values, but must have 12");
  c.weight_count += 1;
  REFUSED("mxfp4_experts_forward: choice->weights has 13 values, but must have 12");
  c.ids = NULL;
  REFUSED("mxfp4_experts_forward: choice->ids is null");
  c.weights = NULL;
  REFUSED("mxfp4_experts_forward: choice->weights is null");
  c.top_k = -2;
  REFUSED("mxfp4_experts_forward: a size of [6, -2] is negative");
  int32_t wrong[kSlots] = {0, 1, 2, kE};
  c.ids = wrong;
  REFUSED("experts: token 1, slot 1: expert 5 of 5");
  c.weights_on_input = 2;
  FAILS(MXFP4_UNSUPPORTED, "mxfp4_experts_forward: choice->weights_on_input is 2, neither 0 nor 1",
        FORWARD(experts, &c, sizeof x, MXFP4_F32));
#undef REFUSED
#undef FORWARD
  mxfp4_experts_destroy(experts);
}

int main(void) {
  prepare();
  forward_computes_its_definition();
  both_layouts_are_one_layer();
  weights_are_copied_unless_in_place();
  nothing_is_fine();
  wrong_weights_are_refused();
  wrong_calls_are_refused();
  return failures != 0;
}
