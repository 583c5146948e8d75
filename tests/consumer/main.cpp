// Quantises a vector with the library and says what it gave.
#include <cstdio>
#include <vector>

#include "mxfp4/base/error.h"
#include "mxfp4/quantize/quantize.h"

int main() {
  std::vector<float> x(64, 0.25f);
  x[0] = 4;
  const mxfp4::Mxfp4Tensor quantized = mxfp4::quantize(mxfp4::dense_view(x.data(), mxfp4::Dtype::f32, {64}));
  std::vector<float> y(x.size());
  mxfp4::dequantize(quantized.view(), mxfp4::Dtype::f32, y.data());
  for (const unsigned scale : quantized.scales) std::printf("scale byte %u\n", scale);
  std::printf("%g %g %g\n", y[0], y[1], y[63]);
  try {
    mxfp4::quantize(mxfp4::dense_view(x.data(), mxfp4::Dtype::f32, {}));
  } catch (const mxfp4::Error&
               error) {  // an exception's type is one and the same on both sides of a shared library
    std::printf("%s\n", mxfp4::to_string(error.code()));
  }
}
