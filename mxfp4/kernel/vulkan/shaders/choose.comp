// From a token's logits to its experts and their weights, as kernel/router_options.h defines them: a workgroup for each
// token.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "functions.glsl"

layout(local_size_x = 64) in;
layout(std430, binding = 0) readonly buffer Logits { float logits[]; };  // [tokens, experts]
layout(std430, binding = 1) readonly buffer Correction { float correction[]; };
layout(std430, binding = 2) buffer In { uint choice[]; };  // word 0: tokens
layout(push_constant) uniform Arguments {
  uint experts, top_k;
  uint ids, weights;  // where `choice` has these
  uint chosen;        // the ids are there
  uint score;         // as enum RouterScore
  uint renormalize, with_correction;
  uint groups, top_groups;
  float factor;
};

const uint kMostExperts = 1024;  // as in plan.h
shared uint keys[kMostExperts];  // of experts that can be chosen; 0 for others
shared uint best[64], best_at[64];
shared float parts[64];
float most, total;  // of a softmax over all experts

// In the order of numbers, with NaN above them; never 0.
uint key_of(float value) {
  const uint bits = floatBitsToUint(value);
  if (is_nan(value)) return 0xFFFFFFFFu;
  if ((bits & 0x7FFFFFFFu) == 0) return 0x80000000u;
  return bits >> 31 != 0 ? ~bits : bits | 0x80000000u;
}

float joined(float part, bool largest) {
  const uint mine = gl_LocalInvocationID.x;
  parts[mine] = part;
  for (uint step = 32; step > 0; step /= 2) {
    barrier();
    if (mine < step) parts[mine] = largest ? max(parts[mine], parts[mine + step]) : parts[mine] + parts[mine + step];
  }
  barrier();
  const float result = parts[0];
  barrier();
  return result;
}

void normalise(uint first) {
  float part = uintBitsToFloat(0xFF800000u);
  for (uint e = gl_LocalInvocationID.x; e < experts; e += 64) part = max(part, logits[first + e]);
  most = joined(part, true);
  part = 0;
  for (uint e = gl_LocalInvocationID.x; e < experts; e += 64) part += exp_of_negative(logits[first + e] - most);
  total = joined(part, false);
}

float score_of(float logit) {
  if (is_nan(logit)) return logit;
  if (score == 0) return exp_of_negative(logit - most) / total;
  if (score == 1) return sigmoid(logit);
  return sqrt(max(logit, 0.0) + log_of_one_and(exp_of_negative(-abs(logit))));
}

// The largest key, and of several the first; all invocations learn where it is.
uint largest() {
  const uint mine = gl_LocalInvocationID.x;
  uint key = 0, at = 0;
  for (uint e = mine; e < experts; e += 64) {
    if (keys[e] <= key) continue;
    key = keys[e];
    at = e;
  }
  best[mine] = key;
  best_at[mine] = at;
  for (uint step = 32; step > 0; step /= 2) {
    barrier();
    if (mine >= step) continue;
    const uint other = mine + step;
    if (best[other] < best[mine] || (best[other] == best[mine] && best_at[other] >= best_at[mine])) continue;
    best[mine] = best[other];
    best_at[mine] = best_at[other];
  }
  barrier();
  const uint result = best_at[0];
  barrier();
  return result;
}

// Leaves the keys of the best groups alone; the first invocation does, as groups are few.
void keep_best_groups(uint first) {
  const uint size = experts / groups;
  for (uint g = gl_LocalInvocationID.x; g < groups; g += 64) {
    uint high = 0, low = 0, high_at = 0, low_at = 0;
    for (uint e = g * size; e < (g + 1) * size; ++e) {
      if (keys[e] > high) {
        low = high;
        low_at = high_at;
        high = keys[e];
        high_at = e;
      } else if (keys[e] > low) {
        low = keys[e];
        low_at = e;
      }
    }
    float sum = score_of(logits[first + high_at]) + score_of(logits[first + low_at]);
    if (with_correction != 0) sum += correction[high_at] + correction[low_at];
    parts[g % 64] = sum;
  }
  barrier();
  if (gl_LocalInvocationID.x == 0) {
    for (uint kept = 0; kept < top_groups; ++kept) {
      uint key = 0, at = 0;
      for (uint g = 0; g < groups; ++g) {
        const uint here = best_at[g] == kMostExperts ? 0 : key_of(parts[g]);
        if (here <= key) continue;
        key = here;
        at = g;
      }
      best_at[at] = kMostExperts;  // kept
    }
  }
  barrier();
  for (uint e = gl_LocalInvocationID.x; e < experts; e += 64) {
    if (best_at[e / size] != kMostExperts) keys[e] = 0;
  }
  barrier();
}

void choose(uint first, uint token) {
  const bool by_logits = with_correction == 0 && groups == 1;  // every score grows with its logit
  for (uint e = gl_LocalInvocationID.x; e < experts; e += 64) {
    float value = by_logits ? logits[first + e] : score_of(logits[first + e]);
    if (with_correction != 0) value += correction[e];
    keys[e] = key_of(value);
  }
  best_at[gl_LocalInvocationID.x] = 0;
  barrier();
  if (groups > 1) keep_best_groups(first);
  for (uint s = 0; s < top_k; ++s) {
    const uint expert = largest();
    if (gl_LocalInvocationID.x == 0) {
      choice[ids + token * top_k + s] = expert;
      keys[expert] = 0;
    }
    memoryBarrierBuffer();
    barrier();
  }
}

void weigh(uint first, uint token) {
  const uint from = ids + token * top_k;
  const bool over_chosen = score == 0 && renormalize != 0;
  if (over_chosen) {
    most = uintBitsToFloat(0xFF800000u);
    total = 1;
    for (uint s = 0; s < top_k; ++s) most = max(most, logits[first + choice[from + s]]);
  }
  float sum = 0;
  for (uint s = 0; s < top_k; ++s) sum += score_of(logits[first + choice[from + s]]);
  const float divisor = renormalize == 0 ? 1.0 : score == 0 ? sum : sum + 1e-20;
  for (uint s = 0; s < top_k; ++s) {
    const float weight = score_of(logits[first + choice[from + s]]) / divisor;
    choice[weights + token * top_k + s] = floatBitsToUint(weight * factor);
  }
}

void main() {
  const uint token = gl_WorkGroupID.x, first = token * experts;
  if (token >= choice[0]) return;
  most = 0;
  total = 1;
  if (score == 0) normalise(first);
  if (chosen == 0) choose(first, token);
  if (gl_LocalInvocationID.x == 0) weigh(first, token);
}
