// Activations as f32: blocks of 32 values. What the kernels of products ask of activations is the same in
// activations_int8.glsl.
#define ELEMENT float
#define SUM float

layout(std430, binding = 3) readonly buffer X { vec4 x[]; };

const uint kSteps = 32;  // elements of a block

uint row_vectors(uint blocks) { return blocks * 8; }

// Element k of a word of 8 codes.
float weight(uint word, uint k) { return twice_value(word >> 4 * k & 15u); }

// Element k of a block of the row that begins at `from`.
float activation(uint from, uint block, uint k) { return x[from + block * 8 + k / 4][k % 4]; }

float multiply_add(float w, float a, float sum) { return fma(w, a, sum); }

// Two factors, as a scale could exceed an f32; f32 has no scale.
vec2 activation_scale(uint from, uint blocks, uint block) { return vec2(1); }

float scaled(float sum, vec2 of_weights, vec2 of_activations) { return sum * of_weights.x * of_weights.y; }
