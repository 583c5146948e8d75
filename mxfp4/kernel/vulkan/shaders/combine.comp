// y of a token: the weighted sum of what its experts made, in the order of its slots.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "lists.glsl"

layout(local_size_x = 64) in;
layout(std430, binding = 0) readonly buffer Made { float made[]; };  // [routes, columns]
layout(std430, binding = 1) readonly buffer In { uint choice[]; };
layout(std430, binding = 2) readonly buffer Lists { uint lists[]; };
layout(std430, binding = 3) writeonly buffer Y { float y[]; };
layout(push_constant) uniform Arguments {
  uint columns, top_k;
  uint weights;  // where `choice` has these, or 0: all are 1
  uint routes;   // where the lists have those of the slots
};

void main() {
  const uint column = gl_GlobalInvocationID.x, token = gl_WorkGroupID.y;
  if (token >= choice[0] || column >= columns) return;
  float sum = 0;
  for (uint slot = token * top_k; slot < (token + 1) * top_k; ++slot) {
    const uint route = lists[routes + slot];
    if (route == kNobody) continue;
    const float weight = weights == 0 ? 1.0 : uintBitsToFloat(choice[weights + slot]);
    sum = fma(weight, made[route * columns + column], sum);
  }
  y[token * columns + column] = sum;
}
