// Quantises a vector with the library and says what it gave.
#include <stdio.h>

#include "mxfp4/capi/mxfp4.h"

int main(void) {
  float x[64] = {4.0f}, y[64];
  for (int i = 1; i < 64; ++i) x[i] = 0.25f;
  uint8_t codes[32], scales[2];
  if (mxfp4_quantize(x, sizeof x, MXFP4_F32, 1, 64, NULL, codes, sizeof codes, scales, sizeof scales, NULL) !=
      MXFP4_OK) {
    return 1;
  }
  const mxfp4_matrix matrix = {.size = sizeof matrix,
                               .codes = codes,
                               .code_bytes = sizeof codes,
                               .scales = scales,
                               .scale_bytes = sizeof scales,
                               .rows = 1,
                               .columns = 64};
  if (mxfp4_dequantize(&matrix, y, sizeof y, MXFP4_F32, 0) != MXFP4_OK) return 1;
  for (int i = 0; i < 2; ++i) printf("scale byte %d\n", scales[i]);
  printf("%g %g %g\n", y[0], y[1], y[63]);
  printf("%s\n", mxfp4_status_name(mxfp4_dequantize(NULL, y, sizeof y, MXFP4_F32, 0)));
}
