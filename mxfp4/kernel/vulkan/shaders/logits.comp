// A router's logits, x W^T + bias: eight lanes for each, which sum the columns l, l + 8, ..., then 0 with 4, 1 with 5
// and so on. That is the processor's order (kernel/cpu/expert_kernels.h), so that both choose the same experts.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "elements.glsl"

layout(local_size_x = 64) in;
layout(std430, binding = 0) readonly buffer In { uint elements[]; };  // word 0: tokens
layout(std430, binding = 1) readonly buffer Weight { float weight[]; };  // [experts, columns]
layout(std430, binding = 2) readonly buffer Bias { float bias[]; };
layout(std430, binding = 3) writeonly buffer Logits { float logits[]; };  // [tokens, experts]
layout(push_constant) uniform Arguments {
  uint first;  // word of the first element
  uint dtype, columns;
  uint experts, with_bias;
};

#include "input.glsl"

shared float sums[64];

void main() {
  const uint mine = gl_LocalInvocationID.x, lane = mine % 8, token = gl_WorkGroupID.y;
  const uint expert = gl_WorkGroupID.x * 8 + mine / 8, row = min(expert, experts - 1) * columns;
  if (token >= elements[0]) return;
  precise float sum = 0;
  for (uint k = lane; k < columns; k += 8) {
    precise const float product = uintBitsToFloat(element(token * columns + k)) * weight[row + k];
    sum += product;
  }
  sums[mine] = sum;
  for (uint step = 4; step > 0; step /= 2) {
    barrier();
    if (lane < step) sums[mine] += sums[mine + step];
  }
  if (lane != 0 || expert >= experts) return;
  logits[token * experts + expert] = with_bias != 0 ? sums[mine] + bias[expert] : sums[mine];
}
