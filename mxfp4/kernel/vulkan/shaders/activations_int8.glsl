// Activations as integers of 8 bits: of a row first those of all blocks, four to a word, then for every block the
// step between them, whose exponent has 9 bits (encode.comp), so that no step is subnormal. Products are exact.
// With MXFP4_DOT four are multiplied and added by one instruction of SPV_KHR_integer_dot_product.
#define ELEMENT int
#define SUM int

layout(std430, binding = 3) readonly buffer X { uvec4 x[]; };

const uint kSteps = 8;  // words of a block

uint row_vectors(uint blocks) { return blocks * 9 / 4; }

// Four codes of a word of 8.
int weight(uint word, uint k) {
  uint packed = 0;
  for (uint i = 0; i < 4; ++i) {
    packed |= (uint(int(twice_value(word >> (16 * k + 4 * i) & 15u))) & 255u) << 8 * i;
  }
  return int(packed);
}

int activation(uint from, uint block, uint k) { return int(x[from + block * 2 + k / 4][k % 4]); }

#ifdef MXFP4_DOT
// OpSDot of two words that are vectors of four integers of 8 bits.
spirv_instruction(extensions = ["SPV_KHR_integer_dot_product"], capabilities = [6018, 6019], id = 4450)
int dot_of(int a, int b, spirv_literal int format);

int multiply_add(int w, int a, int sum) { return sum + dot_of(w, a, 0); }
#else
int multiply_add(int w, int a, int sum) {
  for (int i = 0; i < 32; i += 8) sum += bitfieldExtract(w, i, 8) * bitfieldExtract(a, i, 8);
  return sum;
}
#endif

// The step, as two factors.
vec2 activation_scale(uint from, uint blocks, uint block) {
  const uint step = x[from + blocks * 2 + block / 4][block % 4];
  if (step == kNanStep) return vec2(uintBitsToFloat(0x7FC00000u));
  const int exponent = int(step >> 23) - kStepBias, half_of_it = exponent >> 1;
  return vec2(uintBitsToFloat(uint(127 + half_of_it) << 23 | (step & 0x7FFFFFu)),
              uintBitsToFloat(uint(127 + exponent - half_of_it) << 23));
}

// Factors of both by turns: where they lie on two sides of 1, nothing on the way exceeds an f32.
float scaled(int sum, vec2 of_weights, vec2 of_activations) {
  return float(sum) * of_weights.x * of_activations.x * of_weights.y * of_activations.y;
}
