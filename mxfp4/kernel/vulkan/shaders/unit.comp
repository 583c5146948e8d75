// The gated unit of every route: gate * sigmoid(alpha * gate) * (up + beta), with gate and up held to the limit.
// NaN stays NaN.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "lists.glsl"
#include "functions.glsl"

layout(local_size_x = 64) in;
layout(std430, binding = 0) readonly buffer Gate { float gates[]; };  // [routes, columns], or gate and up alternately
layout(std430, binding = 1) readonly buffer Up { float ups[]; };
layout(std430, binding = 2) readonly buffer Units { float units[]; };  // alpha, beta and limit
layout(std430, binding = 3) readonly buffer Lists { uint lists[]; };
layout(std430, binding = 4) writeonly buffer Out { float activated[]; };
layout(push_constant) uniform Arguments {
  uint columns, pitch;  // of `activated`, whose rows are completed with zeros
  uint alternate;
  uint one_unit;  // for all experts
  uint experts_of;
};

void main() {
  const uint column = gl_GlobalInvocationID.x, route = gl_WorkGroupID.y;
  if (route >= lists[1] || column >= pitch) return;
  float result = 0;
  if (column < columns) {
    const uint at = route * columns + column;
    float gate = alternate != 0 ? gates[2 * at] : gates[at];
    float up = alternate != 0 ? gates[2 * at + 1] : ups[at];
    const uint unit = one_unit != 0 ? 0 : 3 * lists[experts_of + route];
    const float limit = units[unit + 2];
    if (gate > limit) gate = limit;
    if (up > limit) up = limit;
    if (up < -limit) up = -limit;
    const float z = units[unit] * gate;
    result = z != z ? z : gate * sigmoid(z) * (up + units[unit + 1]);
  }
  activated[route * pitch + column] = result;
}
