// From logits to experts and their weights, from C.
#include <math.h>

#include "mxfp4/capi/test_capi.h"

static int is(float value, double expected) {
  return fabs((double)value - expected) <= 1e-6 * fabs(expected);
}

static void routes_are_chosen_and_weighed(void) {
  const float logits[2 * 4] = {0, 3, 1, 3, -1, -2, -4, -3};
  int32_t chosen[4] = {9, 9, 9, 9};
  float w[4];
#define ROUTE(options) mxfp4_route(logits, sizeof logits, MXFP4_F32, 2, 4, 2, options, chosen, 4, w, 4)
  WORKS(ROUTE(NULL));
  CHECK(chosen[0] == 1 && chosen[1] == 3 && chosen[2] == 0 && chosen[3] == 1);
  CHECK(is(w[0], 0.5) && is(w[1], 0.5) && is(w[2], 1 / (1 + exp(-1))) && is(w[3], 1 / (1 + exp(1))));

  const float correction[4] = {0, 0, 4, 0};
  mxfp4_route_options options = {.size = sizeof options,
                                 .correction = correction,
                                 .correction_count = 4,
                                 .score = MXFP4_SIGMOID,
                                 .no_renormalize = 1,
                                 .factor = 2,
                                 .groups = 2,
                                 .top_groups = 1};
  WORKS(ROUTE(&options));
  CHECK(chosen[0] == 2 && chosen[1] == 3 && chosen[2] == 2 && chosen[3] == 3);
  CHECK(is(w[0], 2 / (1 + exp(-1))) && is(w[3], 2 / (1 + exp(3))));
  options.top_groups = 0;
  WORKS(ROUTE(&options));
  CHECK(chosen[0] == 2 && chosen[1] == 1 && chosen[2] == 2 && chosen[3] == 0);

  const int32_t given[4] = {0, 1, 3, 2};
  memcpy(chosen, given, sizeof given);
  const mxfp4_route_options table = {
      .size = sizeof table, .score = MXFP4_SQRT_SOFTPLUS, .no_renormalize = 1, .chosen = 1};
  WORKS(ROUTE(&table));
  CHECK(memcmp(chosen, given, sizeof given) == 0);
  CHECK(is(w[0], sqrt(log(2))) && is(w[3], sqrt(log1p(exp(-4)))));

  const uint16_t halves[4] = {bf16_of(1), bf16_of(4), bf16_of(2), bf16_of(3)};
  WORKS(mxfp4_route(halves, sizeof halves, MXFP4_BF16, 1, 4, 1, NULL, chosen, 1, w, 1));
  CHECK(chosen[0] == 1 && w[0] == 1);
  WORKS(mxfp4_route(NULL, 0, MXFP4_F32, 0, 4, 2, NULL, NULL, 0, NULL, 0));

  mxfp4_route_options wrong = {.size = sizeof wrong, .score = 3};
  REFUSES("mxfp4_route: options->score is 3, none of softmax (0), sigmoid (1), sqrt_softplus (2)",
          ROUTE(&wrong));
  wrong = (mxfp4_route_options){.size = sizeof wrong, .correction_count = 4};
  REFUSES("mxfp4_route: options->correction is null", ROUTE(&wrong));
  wrong = (mxfp4_route_options){.size = sizeof wrong, .correction = correction, .correction_count = 3};
  REFUSES("router: 3 corrections for 4 experts", ROUTE(&wrong));
  wrong = (mxfp4_route_options){.size = sizeof wrong, .groups = 3};
  REFUSES("router: 4 experts cannot be in 3 groups of at least two", ROUTE(&wrong));
  wrong = (mxfp4_route_options){.size = sizeof wrong, .groups = 2, .top_groups = 3};
  REFUSES("router: top_groups is 3, of 2 groups", ROUTE(&wrong));
  wrong = (mxfp4_route_options){.size = sizeof wrong, .no_renormalize = 2};
  FAILS(MXFP4_UNSUPPORTED, "mxfp4_route: options->no_renormalize is 2, neither 0 nor 1", ROUTE(&wrong));
  wrong = (mxfp4_route_options){.size = sizeof wrong, .chosen = -1};
  FAILS(MXFP4_UNSUPPORTED, "mxfp4_route: options->chosen is -1, neither 0 nor 1", ROUTE(&wrong));
  wrong = (mxfp4_route_options){.size = 12};
  REFUSES("mxfp4_route: options->size is 12", ROUTE(&wrong));
  NEWER(mxfp4_route_options) newer = {.known = {.size = sizeof newer}, .added = 1};
  FAILS(MXFP4_UNSUPPORTED, "mxfp4_route: options has ", ROUTE(&newer.known));
#undef ROUTE
#define ROUTE(logits, bytes, tokens, experts, top_k, ids, id_count, weights, weight_count) \
  mxfp4_route(logits, bytes, MXFP4_F32, tokens, experts, top_k, NULL, ids, id_count, weights, weight_count)
  REFUSES("mxfp4_route: logits is null", ROUTE(NULL, 32, 2, 4, 2, chosen, 4, w, 4));
  REFUSES("mxfp4_route: logits has 28 bytes, but must have 32", ROUTE(logits, 28, 2, 4, 2, chosen, 4, w, 4));
  REFUSES("mxfp4_route: a size of [-2, 4] is negative", ROUTE(logits, 32, -2, 4, 2, chosen, 4, w, 4));
  REFUSES("mxfp4_route: ids has 3 values, but must have 4", ROUTE(logits, 32, 2, 4, 2, chosen, 3, w, 4));
  REFUSES("mxfp4_route: ids is null", ROUTE(logits, 32, 2, 4, 2, NULL, 4, w, 4));
  REFUSES("mxfp4_route: weights has 5 values, but must have 4", ROUTE(logits, 32, 2, 4, 2, chosen, 4, w, 5));
  REFUSES("mxfp4_route: weights is null", ROUTE(logits, 32, 2, 4, 2, chosen, 4, NULL, 4));
  REFUSES("router: top_k is 0, of 4 experts", ROUTE(logits, 32, 2, 4, 0, chosen, 0, w, 0));
  REFUSES("router: top_k is 5, of 4 experts", ROUTE(logits, 16, 1, 4, 5, chosen, 5, w, 5));
  REFUSES("router: logits have shape [2, 0], not [..., E]", ROUTE(logits, 0, 2, 0, 2, chosen, 4, w, 4));
#undef ROUTE
}

int main(void) {
  routes_are_chosen_and_weighed();
  return failures != 0;
}
