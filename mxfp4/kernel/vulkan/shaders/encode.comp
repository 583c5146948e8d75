// Activations as products take them, from rows as they are: completed with zeros to whole blocks, and either f32,
// or rounded to E4M3 with an E8M0 scale per block and f32 again, or integers of 8 bits with a step per block
// (activations_int8.glsl). An invocation for each element; a workgroup has two blocks. All of it in integers, as
// kernel/cpu/token_records.h rounds: the same integers, and the same steps.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "elements.glsl"
#include "lists.glsl"

layout(local_size_x = 64) in;
layout(std430, binding = 0) readonly buffer In { uint elements[]; };
layout(std430, binding = 1) readonly buffer Counts { uint counts[]; };
layout(std430, binding = 2) writeonly buffer Out { uint encoded[]; };
layout(push_constant) uniform Arguments {
  uint first;  // word of the first element
  uint dtype, columns;
  uint blocks;      // of a row that is written
  uint activation;  // as enum Activation
  uint count_at, rows_each;  // how many rows there are: counts[count_at] * rows_each
};

const uint kExact = 0, kInt8 = 1;
const uint k127 = 0xFE0000u;  // 127 * 2^17

#include "input.glsl"

shared uint most[2];
shared uint packed[16];

// a / b, rounded once, for a and b from 2^23 to 2^24: devices may divide less exactly.
float quotient(uint a, uint b) {
  const uint exponent = a < b ? 126u : 127u;
  if (a < b) a *= 2;
  uint q = 0;  // 25 bits
  for (int i = 0; i < 25; ++i) {
    const bool fits = a >= b;
    q = q * 2 + uint(fits);
    a = (fits ? a - b : a) * 2;
  }
  const bool up = (q & 1u) != 0 && (a != 0 || (q & 2u) != 0);
  return uintBitsToFloat((exponent << 23) + ((q >> 1) - 0x800000u) + uint(up));
}

// |x| * 2^-power as an f32, or 0 for what would be subnormal.
float divided(uint magnitude, int power) {
  if (magnitude == 0) return 0;
  int exponent;
  uint fraction;
  split_magnitude(magnitude, exponent, fraction);
  return exponent - power < 1 ? 0.0 : uintBitsToFloat(uint(exponent - power) << 23 | fraction);
}

// |x| as E4M3 under the scale of a block whose maximum has this exponent, as the bits of an f32.
uint e4m3_bits(uint magnitude, int exponent) {
  const int unit = max(exponent - 127 - 8, -127) - 9;  // 2^unit is the smallest number there
  const float x = divided(magnitude, unit);
  const uint bits = floatBitsToUint(x), four = (bits + 0x7FFFFu + (bits >> 20 & 1u)) & 0xFFF00000u;
  const uint units = min(uint(roundEven(x < 8 ? x : uintBitsToFloat(four))), 448u << 9);
  if (units == 0) return 0;
  const int top = findMSB(units), power = top + unit + 127;
  return power > 0 ? uint(power) << 23 | ((units << (23 - top)) & 0x7FFFFFu) : units << (unit + 149);
}

void main() {
  const uint mine = gl_LocalInvocationID.x, column = gl_GlobalInvocationID.x, row = gl_WorkGroupID.y;
  if (row >= counts[count_at] * rows_each) return;
  const uint bits = column < columns ? element(row * columns + column) : 0, magnitude = bits & 0x7FFFFFFFu;
  if (activation == kExact) {
    encoded[row * blocks * 32 + column] = bits;
    return;
  }
  if (mine < 2) most[mine] = 0;
  if (mine < 16) packed[mine] = 0;
  barrier();
  atomicMax(most[mine / 32], magnitude);
  barrier();
  const uint amax = most[mine / 32];
  const bool finite = amax < kInfinity;
  int exponent = 0;
  uint fraction = 0;
  if (amax != 0) split_magnitude(amax, exponent, fraction);
  fraction |= 0x800000u;
  if (activation != kInt8) {
    encoded[row * blocks * 32 + column] = finite ? (bits & 0x80000000u) | e4m3_bits(magnitude, exponent) : bits;
    return;
  }
  uint step = finite ? 0 : kNanStep;
  if (finite && amax != 0) {
    precise const float scaled = divided(magnitude, exponent - 127) * (quotient(k127, fraction) * 64);
    const int q = int(roundEven(scaled));
    atomicOr(packed[mine / 4], (uint(bits >> 31 != 0 ? -q : q) & 255u) << 8 * (mine % 4));
    const uint of_step = floatBitsToUint(quotient(fraction, k127));
    step = uint(int(of_step >> 23) - 127 + exponent - 127 - 6 + kStepBias) << 23 | (of_step & 0x7FFFFFu);
  }
  barrier();
  if (mine < 16) encoded[row * blocks * 9 + gl_WorkGroupID.x * 16 + mine] = packed[mine];
  if (mine % 32 == 0) encoded[row * blocks * 9 + blocks * 8 + column / 32] = step;
}
