// What the two kernels of y = x W^T + bias have in common: their buffers and arguments. Binding 3 has
// the activations.

layout(std430, binding = 0) readonly buffer Codes { uvec4 codes[]; };    // of blocks, rows without gaps
layout(std430, binding = 1) readonly buffer Scales { uint scales[]; };   // four to a word
layout(std430, binding = 2) readonly buffer Bias { float bias[]; };      // [experts, all_rows]
layout(std430, binding = 4) readonly buffer Lists { uint lists[]; };
layout(std430, binding = 5) writeonly buffer Y { uint y[]; };            // [routes or slots, all_rows], f32
layout(push_constant) uniform Arguments {
  // The part of the weights that is bound: rows [first_row, first_row + rows) of some experts.
  uint first_expert, experts, first_row, rows;
  uint all_rows;
  uint blocks;   // of a row, in fours
  uint top_k;    // row of a route's x: its slot / top_k, or itself if this is 0
  uint slots;    // where the lists have these
  uint factors;  // and these, or 0
  uint with_bias;
  uint by_slot;  // outputs of a route go to the row of its slot
};

struct Tile {
  uint expert, first, count;
};

Tile tile_at(uint index) {
  const uint at = kTiles + 3 * index;
  return Tile(lists[at], lists[at + 1], lists[at + 2]);
}

uint input_of(uint route) {
  return row_vectors(blocks) * (top_k == 0 ? route : lists[slots + route] / top_k);
}

uint scale_byte(uint row, uint block) {
  return scales[(row * blocks + block) / 4] >> 8 * (block & 3u) & 255u;
}

void write_output(uint expert, uint route, uint row, float sum, bool is_nan) {
  const uint output_row = first_row + row;
  if (factors != 0) sum *= uintBitsToFloat(lists[factors + route]);
  if (with_bias != 0) sum += bias[expert * all_rows + output_row];
  y[(by_slot != 0 ? lists[slots + route] : route) * all_rows + output_row] = is_nan ? 0x7FC00000u : floatBitsToUint(sum);
}
