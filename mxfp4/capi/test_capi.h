// What the tests in C share: checks that count and name what failed.
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mxfp4/capi/mxfp4.h"

static int failures = 0;

static inline void check(int line, const char* text, int holds) {
  if (holds) return;
  fprintf(stderr, "line %d: not so: %s\n", line, text);
  ++failures;
}

/// A status, and a part of the message where it is an error.
static inline void check_status(int line, mxfp4_status got, mxfp4_status wanted, const char* part) {
  const char* message = got == MXFP4_OK ? "" : mxfp4_last_error();
  if (got == wanted && (part == NULL || strstr(message, part) != NULL)) return;
  fprintf(stderr, "line %d: got %s: %s\n  wanted %s: %s\n", line, mxfp4_status_name(got), message,
          mxfp4_status_name(wanted), part == NULL ? "" : part);
  ++failures;
}

#define CHECK(condition) check(__LINE__, #condition, (condition) != 0)
#define WORKS(call) check_status(__LINE__, call, MXFP4_OK, NULL)
#define REFUSES(part, call) check_status(__LINE__, call, MXFP4_INVALID_ARGUMENT, part)
#define FAILS(status, part, call) check_status(__LINE__, call, status, part)

/// Small integers and halves that come again only after a while.
static inline float number(int64_t i) {
  return (float)((i * 37 + i / 11) % 25 - 12) / 2.0f;
}

/// Quantises the weight, reads it back, and says where it is. Codes and scales have room for them.
static inline mxfp4_matrix quantised(float* weight, int64_t rows, int64_t columns, uint8_t* codes,
                                     uint8_t* scales) {
  mxfp4_matrix m = {.size = sizeof m, .codes = codes, .scales = scales, .rows = rows, .columns = columns};
  const size_t bytes = (size_t)(rows * columns) * sizeof(float);
  WORKS(mxfp4_sizes(rows, columns, 32, &m.code_bytes, &m.scale_bytes));
  WORKS(mxfp4_quantize(weight, bytes, MXFP4_F32, rows, columns, NULL, codes, m.code_bytes, scales,
                       m.scale_bytes, NULL));
  WORKS(mxfp4_dequantize(&m, weight, bytes, MXFP4_F32, 1));
  return m;
}

/// The upper half of an F32, which is the same number in BF16 if the lower one is 0.
static inline uint16_t bf16_of(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return (uint16_t)(bits >> 16);
}

static inline float of_bf16(uint16_t half) {
  const uint32_t bits = (uint32_t)half << 16;
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

/// A struct as a later version may have it: with one more field behind.
#define NEWER(type) \
  struct {          \
    type known;     \
    int64_t added;  \
  }
