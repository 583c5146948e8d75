// Blocks of 16 or 32 elements to scale bytes and codes, an invocation per block; codec/block.h has the
// definitions, and every decision here is theirs, in integers.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "elements.glsl"

layout(local_size_x = 64) in;
layout(std430, binding = 0) readonly buffer X { uint x[]; };
layout(std430, binding = 1) writeonly buffer Codes { uint codes[]; };
layout(std430, binding = 2) writeonly buffer Scales { uint scales[]; };
layout(std430, binding = 3) buffer Refused { uint refused; };  // the first element that is
layout(push_constant) uniform Arguments {
  uint blocks;
  uint size;    // of a block: 16 or 32
  uint dtype;
  uint through_bf16;
  uint offset;  // byte = ((bits of the block's maximum + offset) >> 23) - bias
  uint bias;
  uint rule;       // 0: no more than that; 1: rceil; 2: optimal
  uint ties;       // bit c: between c and c + 1 up
  uint nonfinite;  // 0: refused; 1: NaN blocks; 2: saturated
  uint zeros;      // as enum Zeros
};

const uint kPitch = 33;  // of blocks in shared memory, for its banks
shared uint elements[64 * kPitch];
shared uint bytes[64];

uint loaded(uint raw) {
  const uint bits = dtype == kF32 ? raw : dtype == kBf16 ? raw << 16 : f32_of_f16(raw);
  if (through_bf16 == 0 || (bits & 0x7FFFFFFFu) >= kInfinity) return bits;
  return (bits + 0x7FFFu + (bits >> 16 & 1u)) & 0xFFFF0000u;
}

// All elements of the workgroup, in the order of memory.
void load_elements(uint first_block) {
  const uint mine = gl_LocalInvocationID.x, count = min(64u, blocks - first_block) * size;
  const uint per_word = dtype == kF32 ? 1 : 2, first_word = first_block * size / per_word;
  for (uint word = mine; word < count / per_word; word += 64) {
    const uint raw = x[first_word + word], i = word * per_word;
    const uint to = i / size * kPitch + i % size;
    if (per_word == 1) {
      elements[to] = loaded(raw);
    } else {
      elements[to] = loaded(raw & 0xFFFFu);
      elements[to + 1] = loaded(raw >> 16);
    }
  }
}

int rule_byte(uint amax) {
  const int byte = int((amax + offset) >> 23) - int(bias);
  if (rule == 1 && byte < 1) return amax > 3 ? 1 : 0;
  return max(byte, 0);
}

const uint kEven = 0x2Au;  // ties to even go up between 1 and 2, 3 and 4, 5 and 6
const int kFourTimes[8] = int[](0, 2, 4, 6, 8, 12, 16, 24);

// Whether the squared error under the next byte, above or below, is less than under `base`, whose scale is
// more than an eighth of the maximum. With v = |x| / base's scale and the roundings q0 and q the difference is
// the sum of (q0 - q) (2 v - q0 - q), in which v counts from 1/8 up: a multiple of 2^-26 below 2^3. In units
// of 1/4 and 2^-26 the factors are below 2^5 and 2^30, and so the sum is kept in two words: no product of
// `high` and no sum of 32 of them exceeds 2^27.
bool better(uint first, int base, bool above) {
  int high = 0, low = 0;
  for (uint i = 0; i < size; ++i) {
    const uint magnitude = elements[first + i] & 0x7FFFFFFFu;
    if (magnitude == 0 || magnitude >= kInfinity) continue;
    int exponent;
    uint fraction;
    split_magnitude(magnitude, exponent, fraction);
    const int power = exponent - base;
    if (power < -3) continue;
    const int v = int((fraction | 0x800000u) << (power + 3));
    const int q0 = kFourTimes[magnitude_code(quotient_key(magnitude, base), kEven)];
    const int q = above ? kFourTimes[magnitude_code(quotient_key(magnitude, base + 1), kEven)] * 2
                        : kFourTimes[magnitude_code(quotient_key(magnitude, base - 1), kEven)] / 2;
    const int difference = 2 * v - ((q0 + q) << 24);
    high += (q0 - q) * (difference >> 13);
    low += (q0 - q) * (difference & 0x1FFF);
  }
  return high + (low >> 13) < 0;
}

const uint kSeven = 0x05E00000u, kDown = 0x058F0000u;  // keys of kOptimalUp and kOptimalDown

int best_byte(uint first, uint amax) {
  const int base = rule_byte(amax);
  const uint key = quotient_key(amax, base);
  if (key > kSeven) return better(first, base, true) ? base + 1 : base;
  if (base > 0 && size == 32 && key < kDown && better(first, base, false)) return base - 1;
  return base;
}

uint code_of(uint bits, int byte) {
  const uint magnitude = bits & 0x7FFFFFFFu;
  if (magnitude > kInfinity) return 0;
  const uint code = magnitude == kInfinity ? 7 : magnitude_code(quotient_key(magnitude, byte), ties);
  bool negative = bits >> 31 != 0;
  if (zeros == 1) negative = negative && code != 0;
  if (zeros == 2) negative = negative && magnitude != 0;
  if (zeros == 3) negative = negative || magnitude == 0;
  return negative ? code | 8u : code;
}

void main() {
  const uint mine = gl_LocalInvocationID.x, first_block = gl_WorkGroupID.x * 64, block = first_block + mine;
  load_elements(first_block);
  barrier();
  uint byte = 0;
  if (block < blocks) {
    const uint first = mine * kPitch;
    uint amax = 0, bad = size;
    for (uint i = size; i-- > 0;) {
      const uint magnitude = elements[first + i] & 0x7FFFFFFFu;
      if (magnitude >= kInfinity) {
        bad = i;
      } else {
        amax = max(amax, magnitude);
      }
    }
    const bool all_nan = nonfinite == 1 && bad < size;
    if (nonfinite == 0 && bad < size) atomicMin(refused, block * size + bad);
    byte = all_nan ? 255 : rule == 2 ? best_byte(first, amax) : rule_byte(amax);
    for (uint word = 0; word < size / 8; ++word) {
      uint packed = 0;
      for (uint i = 0; i < 8; ++i) packed |= code_of(elements[first + word * 8 + i], int(byte)) << 4 * i;
      codes[block * (size / 8) + word] = all_nan ? 0x77777777u : packed;
    }
  }
  bytes[mine] = byte;
  barrier();
  if (mine < 16) {
    scales[first_block / 4 + mine] =
        bytes[4 * mine] | bytes[4 * mine + 1] << 8 | bytes[4 * mine + 2] << 16 | bytes[4 * mine + 3] << 24;
  }
}
