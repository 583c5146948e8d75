// Products for few tokens, limited by how fast weights come from memory. Each half of a workgroup takes two rows:
// lane i sums over the blocks i, i + 32, ..., so that the lanes read what lies side by side; then the lanes are
// added in a tree. Nothing in the order depends on the other tokens of the tile.
#include "product.glsl"

layout(constant_id = 0) const uint kTokens = 1;
layout(local_size_x = 64) in;

const uint kLanes = 32, kRows = 2;
shared float sums[2][kRows * 8][kLanes];
shared uint nan_rows[2];

void main() {
  if (gl_WorkGroupID.y >= lists[0]) return;
  const Tile tile = tile_at(gl_WorkGroupID.y);
  const uint matrix = tile.expert - first_expert;
  if (matrix >= experts) return;  // in another part of the weights

  const uint lane = gl_LocalInvocationID.x % kLanes, part = gl_LocalInvocationID.x / kLanes;
  const uint row = (gl_WorkGroupID.x * 2 + part) * kRows;
  if (lane == 0) nan_rows[part] = 0;
  barrier();
  uint inputs[kTokens];
  for (uint t = 0; t < kTokens; ++t) inputs[t] = input_of(tile.first + min(t, tile.count - 1));

  precise float sum[kRows][kTokens];
  for (uint r = 0; r < kRows; ++r) {
    for (uint t = 0; t < kTokens; ++t) sum[r][t] = 0;
  }
  for (uint block = lane; block < blocks; block += kLanes) {
    vec2 scales_of_x[kTokens];
    for (uint t = 0; t < kTokens; ++t) scales_of_x[t] = activation_scale(inputs[t], blocks, block);
    for (uint r = 0; r < kRows; ++r) {
      const uint here = matrix * rows + min(row + r, rows - 1);
      const uvec4 words = codes[here * blocks + block];
      const uint byte = scale_byte(here, block);
      if (byte == 255) atomicOr(nan_rows[part], 1u << r);
      const vec2 scale = halved_scale(byte);
      precise SUM of_block[kTokens];
      for (uint t = 0; t < kTokens; ++t) of_block[t] = 0;
      for (uint word = 0; word < 4; ++word) {
        ELEMENT w[kSteps / 4];
        for (uint i = 0; i < kSteps / 4; ++i) w[i] = weight(words[word], i);
        for (uint t = 0; t < kTokens; ++t) {
          for (uint i = 0; i < kSteps / 4; ++i) {
            of_block[t] = multiply_add(w[i], activation(inputs[t], block, word * (kSteps / 4) + i), of_block[t]);
          }
        }
      }
      for (uint t = 0; t < kTokens; ++t) sum[r][t] += scaled(of_block[t], scale, scales_of_x[t]);
    }
  }

  for (uint r = 0; r < kRows; ++r) {
    for (uint t = 0; t < kTokens; ++t) sums[part][r * kTokens + t][lane] = sum[r][t];
  }
  for (uint step = kLanes / 2; step > 0; step /= 2) {
    barrier();
    if (lane < step) {
      for (uint i = 0; i < kRows * kTokens; ++i) sums[part][i][lane] += sums[part][i][lane + step];
    }
  }
  barrier();
  const uint r = lane / kTokens, t = lane % kTokens;
  if (r < kRows && row + r < rows && t < tile.count) {
    write_output(tile.expert, tile.first + t, row + r, sums[part][lane][0], (nan_rows[part] >> r & 1u) != 0);
  }
}
