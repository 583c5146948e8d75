// Codes and scale bytes to elements, built from integers: an invocation per word of 8 codes.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "elements.glsl"

layout(local_size_x = 64) in;
layout(std430, binding = 0) readonly buffer Codes { uint codes[]; };
layout(std430, binding = 1) readonly buffer Scales { uint scales[]; };
layout(std430, binding = 2) writeonly buffer Out { uint elements[]; };
layout(push_constant) uniform Arguments {
  uint words;
  uint size;  // of a block: 16 or 32
  uint dtype;
  uint split;  // byte j of a block of 32 holds element j and j + 16
};

const uint kTwice = 0xC8643210u;  // twice the magnitudes of the codes, four bits each

// |code| * 2^(byte - 127) = m * 2^(byte - 128), m = 1 .. 12, rounded once to an f32 or a binary16. The result
// is a number of 23 or 10 bits behind the leading one of m, unless its exponent is below the least or beyond
// the largest one.
uint magnitude_bits(uint m, int byte, int bias, int fraction) {
  if (m == 0) return 0;
  const int top = findMSB(m), exponent = byte - 128 + top + bias, infinite = 2 * bias + 1;
  if (exponent >= infinite) return uint(infinite) << fraction;
  if (exponent > 0) return uint(exponent) << fraction | ((m << (fraction - top)) & ((1u << fraction) - 1));
  const int shift = byte - 128 + bias - 1 + fraction;  // in units of the least subnormal
  if (shift >= 0) return m << shift;
  if (shift < -4) return 0;  // below half a unit
  const uint half_unit = 1u << (-shift - 1), whole = m >> -shift;
  const uint rest = m & ((1u << -shift) - 1);
  return whole + uint(rest > half_unit || (rest == half_unit && (whole & 1u) != 0));
}

uint bits_of(uint code, int byte) {
  const uint m = kTwice >> 4 * (code & 7u) & 15u;
  if (dtype == kF16) {
    return (code & 8u) << 12 | (byte == 255 ? 0x7E00u : magnitude_bits(m, byte, 15, 10));
  }
  const uint bits = (code & 8u) << 28 | (byte == 255 ? 0x7FC00000u : magnitude_bits(m, byte, 127, 23));
  return dtype == kF32 ? bits : bits >> 16;  // of which nothing is lost
}

// Four elements whose codes lie `step` bits apart, to elements `to` .. `to` + 3.
void write_four(uint word, uint step, uint to, int byte) {
  uint bits[4];
  for (uint i = 0; i < 4; ++i) bits[i] = bits_of(word >> step * i & 15u, byte);
  if (dtype == kF32) {
    for (uint i = 0; i < 4; ++i) elements[to + i] = bits[i];
  } else {
    elements[to / 2] = bits[0] | bits[1] << 16;
    elements[to / 2 + 1] = bits[2] | bits[3] << 16;
  }
}

void main() {
  const uint index = gl_GlobalInvocationID.x;
  if (index >= words) return;
  const uint per_block = size / 8, block = index / per_block;
  const int byte = int(scales[block / 4] >> 8 * (block & 3u) & 255u);
  const uint word = codes[index];
  if (split == 0) {
    write_four(word, 4, index * 8, byte);
    write_four(word >> 16, 4, index * 8 + 4, byte);
  } else {
    const uint to = block * 32 + (index & 3u) * 4;
    write_four(word, 8, to, byte);
    write_four(word >> 4, 8, to + 16, byte);
  }
}
