// Elements as the bits of an f32, whatever they are stored as, and quotients by scales, in integers: devices
// may take subnormals for zeros wherever they compute with floats.

const uint kF32 = 0, kBf16 = 1, kF16 = 2;
const uint kInfinity = 0x7F800000u;

// Of a binary16. What its subnormals are worth is normal as an f32.
uint f32_of_f16(uint half_bits) {
  const uint sign = (half_bits & 0x8000u) << 16, m = half_bits & 0x7FFFu;
  if (m >= 0x7C00u) return sign | kInfinity | (m & 0x3FFu) << 13;
  if (m >= 0x400u) return sign | ((m << 13) + (112u << 23));
  if (m == 0) return sign;
  const int top = findMSB(m);
  return sign | (uint(top + 103) << 23 | ((m << (23 - top)) & 0x7FFFFFu));
}

// |x| = 1.fraction * 2^(exponent - 127), from its bits; not of 0.
void split_magnitude(uint magnitude, out int exponent, out uint fraction) {
  exponent = int(magnitude >> 23);
  fraction = magnitude & 0x7FFFFFu;
  if (exponent != 0) return;
  const int top = findMSB(fraction);
  exponent = top - 22;
  fraction = (fraction << (23 - top)) & 0x7FFFFFu;
}

// In the order of |x| / 2^(byte - 127): 9 + its exponent above its fraction; 0 for what is below 2^-8.
uint quotient_key(uint magnitude, int byte) {
  if (magnitude == 0) return 0;
  int exponent;
  uint fraction;
  split_magnitude(magnitude, exponent, fraction);
  const int power = min(exponent - byte, 8);
  return power < -8 ? 0 : uint(power + 9) << 23 | fraction;
}

// The keys of 0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5: halfway between the magnitudes of two codes.
const uint kMidpoints[7] = uint[](0x03800000u, 0x04400000u, 0x04A00000u, 0x04E00000u, 0x05200000u, 0x05600000u, 0x05A00000u);

// Of a quotient's key. Bit c of `up` says that a tie between the codes c and c + 1 goes up.
uint magnitude_code(uint key, uint up) {
  uint code = 0;
  for (uint c = 0; c < 7; ++c) code += uint(key + (up >> c & 1u) > kMidpoints[c]);
  return code;
}
