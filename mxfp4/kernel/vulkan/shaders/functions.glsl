// Functions that devices may compute less exactly, or otherwise for NaN.

bool is_nan(float x) { return (floatBitsToUint(x) & 0x7FFFFFFFu) > 0x7F800000u; }

// e^x for x <= 0, to about an ulp on any device: 2^n e^r with |r| <= ln 2 / 2, and ln 2 in two parts.
float exp_of_negative(float x) {
  if (is_nan(x)) return x;
  if (x < -87.0) return 0;
  const float n = floor(x * 1.44269504 + 0.5);
  const float r = fma(n, 2.12194440e-4, fma(n, -0.693359375, x));
  float e = 1.0 / 5040.0;
  e = fma(e, r, 1.0 / 720.0);
  e = fma(e, r, 1.0 / 120.0);
  e = fma(e, r, 1.0 / 24.0);
  e = fma(e, r, 1.0 / 6.0);
  e = fma(e, r, 0.5);
  e = fma(e, r, 1.0);
  e = fma(e, r, 1.0);
  return e * uintBitsToFloat(uint(int(n) + 127) << 23);
}

float sigmoid(float x) {
  const float e = exp_of_negative(-abs(x));
  return (x < 0 ? e : 1.0) / (1.0 + e);
}

// ln(1 + e) for e from 0 to 1: 2 artanh(e / (2 + e)).
float log_of_one_and(float e) {
  const float z = e / (2 + e), square = z * z;
  float sum = 1.0 / 15.0;
  for (float n = 13; n > 0; n -= 2) sum = fma(sum, square, 1 / n);
  return 2 * z * sum;
}
