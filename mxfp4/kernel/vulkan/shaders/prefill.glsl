// Products for many tokens: tiles of 64 rows and 32 tokens, block after block along K by way of shared memory.
// An invocation sums for 4 rows and 4 tokens. The scale of a block multiplies its sums, not its weights, which so
// stay small integers.
#include "product.glsl"

layout(local_size_x = 128) in;

const uint kRows = 64, kTokens = 32, kRowPitch = 65, kTokenPitch = 33;  // pitches for the banks
shared ELEMENT w[kSteps * kRowPitch];
shared ELEMENT inputs[kSteps * kTokenPitch];
shared vec2 scales_of_w[kRows], scales_of_x[kTokens];
shared uint nan_rows[kRows];

void main() {
  if (gl_WorkGroupID.y >= lists[0]) return;
  const Tile tile = tile_at(gl_WorkGroupID.y);
  const uint matrix = tile.expert - first_expert;
  if (matrix >= experts) return;  // in another part of the weights

  const uint mine = gl_LocalInvocationID.x, first_row_here = gl_WorkGroupID.x * kRows;
  // To load: half a row's block, and a quarter of a token's.
  const uint load_row = mine / 2, load_half = mine % 2;
  const uint load_from = matrix * rows + min(first_row_here + load_row, rows - 1);
  const uint load_token = mine / 4, load_quarter = mine % 4;
  const uint input_from = input_of(tile.first + min(load_token, tile.count - 1));
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
    for (uint i = 0; i < kSteps / 2; ++i) {
      const uint k = load_half * (kSteps / 2) + i;
      w[k * kRowPitch + load_row] = weight(words[k / (kSteps / 4)], k % (kSteps / 4));
    }
    if (load_half == 0) {
      const uint byte = scale_byte(load_from, block);
      if (byte == 255) nan_rows[load_row] = 1;
      scales_of_w[load_row] = halved_scale(byte);
    }
    for (uint i = 0; i < kSteps / 4; ++i) {
      const uint k = load_quarter * (kSteps / 4) + i;
      inputs[k * kTokenPitch + load_token] = activation(input_from, block, k);
    }
    if (load_quarter == 0) scales_of_x[load_token] = activation_scale(input_from, blocks, block);
    barrier();
    SUM of_block[4][4];
    for (uint i = 0; i < 4; ++i) {
      for (uint j = 0; j < 4; ++j) of_block[i][j] = 0;
    }
    for (uint k = 0; k < kSteps; ++k) {
      ELEMENT wk[4], xk[4];
      for (uint i = 0; i < 4; ++i) wk[i] = w[k * kRowPitch + row + 16 * i];
      for (uint j = 0; j < 4; ++j) xk[j] = inputs[k * kTokenPitch + token + 8 * j];
      for (uint i = 0; i < 4; ++i) {
        for (uint j = 0; j < 4; ++j) of_block[i][j] = multiply_add(wk[i], xk[j], of_block[i][j]);
      }
    }
    for (uint i = 0; i < 4; ++i) {
      for (uint j = 0; j < 4; ++j) {
        sum[i][j] += scaled(of_block[i][j], scales_of_w[row + 16 * i], scales_of_x[token + 8 * j]);
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
