// Products for many tokens: tiles of 64 rows and 32 tokens, block after block along K by way of shared memory.
// An invocation sums for 4 rows and 4 tokens. The scale of a block multiplies its sums, not its weights, which so
// stay small integers.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "lists.glsl"
#include "product.glsl"

layout(local_size_x = 128) in;

const uint kRows = 64, kTokens = 32, kRowPitch = 65, kTokenPitch = 33;  // pitches for the banks
shared float w[32 * kRowPitch];
shared float inputs[32 * kTokenPitch];
shared float firsts[kRows], seconds[kRows];
shared uint nan_rows[kRows];

void main() {
  if (gl_WorkGroupID.y >= lists[0]) return;
  const Tile tile = tile_at(gl_WorkGroupID.y);
  const uint matrix = tile.expert - first_expert;
  if (matrix >= experts) return;  // in another part of the weights

  const uint mine = gl_LocalInvocationID.x, first_row_here = gl_WorkGroupID.x * kRows;
  // To load: half a row's block, and two vec4 of two tokens.
  const uint load_row = mine / 2, load_half = mine % 2;
  const uint load_from = matrix * rows + min(first_row_here + load_row, rows - 1);
  const uint load_token = mine / 8, load_vector = mine % 8;
  const uint input_a = input_of(tile.first + min(load_token, tile.count - 1));
  const uint input_b = input_of(tile.first + min(load_token + 16, tile.count - 1));
  // To compute: rows row, row + 16, ... and tokens token, token + 8, ...
  const uint row = mine % 16, token = mine / 16;
  if (mine < kRows) nan_rows[mine] = 0;
  barrier();

  float sum[4][4];
  for (uint i = 0; i < 4; ++i) {
    for (uint j = 0; j < 4; ++j) sum[i][j] = 0;
  }
  for (uint block = 0; block < blocks; ++block) {
    const uvec4 words = codes[load_from * blocks + block];
    for (uint i = 0; i < 16; ++i) {
      const uint word = load_half == 0 ? (i < 8 ? words.x : words.y) : (i < 8 ? words.z : words.w);
      w[(load_half * 16 + i) * kRowPitch + load_row] = twice_value(word >> 4 * (i & 7u) & 15u);
    }
    if (load_half == 0) {
      const uint byte = scale_byte(load_from, block);
      if (byte == 255) nan_rows[load_row] = 1;
      float first, second;
      halved_scale(byte, first, second);
      firsts[load_row] = first;
      seconds[load_row] = second;
    }
    const vec4 a = x[input_a + block * 8 + load_vector], b = x[input_b + block * 8 + load_vector];
    for (uint i = 0; i < 4; ++i) {
      inputs[(load_vector * 4 + i) * kTokenPitch + load_token] = a[i];
      inputs[(load_vector * 4 + i) * kTokenPitch + load_token + 16] = b[i];
    }
    barrier();
    float of_block[4][4];
    for (uint i = 0; i < 4; ++i) {
      for (uint j = 0; j < 4; ++j) of_block[i][j] = 0;
    }
    for (uint k = 0; k < 32; ++k) {
      float wk[4], xk[4];
      for (uint i = 0; i < 4; ++i) wk[i] = w[k * kRowPitch + row + 16 * i];
      for (uint j = 0; j < 4; ++j) xk[j] = inputs[k * kTokenPitch + token + 8 * j];
      for (uint i = 0; i < 4; ++i) {
        for (uint j = 0; j < 4; ++j) of_block[i][j] = fma(wk[i], xk[j], of_block[i][j]);
      }
    }
    for (uint i = 0; i < 4; ++i) {
      for (uint j = 0; j < 4; ++j) {
        sum[i][j] += of_block[i][j] * firsts[row + 16 * i] * seconds[row + 16 * i];
      }
    }
    barrier();
  }
  for (uint i = 0; i < 4; ++i) {
    for (uint j = 0; j < 4; ++j) {
      const uint output_row = row + 16 * i, output_token = token + 8 * j;
      if (first_row_here + output_row >= rows || output_token >= tile.count) continue;
      write_output(tile.expert, tile.first + output_token, first_row_here + output_row, sum[i][j],
                   nan_rows[output_row] != 0);
    }
  }
}
