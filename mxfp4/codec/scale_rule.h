// How the scale of a block follows from its largest magnitude.
#pragma once

#include <cstdint>

#include "mxfp4/codec/bits.h"
#include "mxfp4/codec/macros.h"

namespace mxfp4 {

enum class ScaleRule : std::uint8_t {
#define MXFP4_SCALE_RULE(name, offset, bias, description) name,
#include "mxfp4/codec/scale_rules.inc"
#undef MXFP4_SCALE_RULE
};

/// What a kernel needs to know of a rule; scale_rules.inc explains the numbers.
struct ScaleRuleInfo {
  ScaleRule rule;
  const char* name;
  std::uint32_t offset;
  int bias;
  const char* description;
};

inline constexpr ScaleRuleInfo kScaleRules[] = {
#define MXFP4_SCALE_RULE(name, offset, bias, description) {ScaleRule::name, #name, offset, bias, description},
#include "mxfp4/codec/scale_rules.inc"
#undef MXFP4_SCALE_RULE
};

MXFP4_CODEC const ScaleRuleInfo& info(ScaleRule rule) noexcept {
  return kScaleRules[static_cast<int>(rule)];
}

/// Scale byte 0..253 that a closed-form rule gives a finite block maximum amax >= 0; for `optimal`, that of
/// `floor`.
MXFP4_CODEC std::uint8_t scale_byte(ScaleRule rule, float amax) noexcept {
  const std::uint32_t bits = f32_bits(amax);
  const int byte = static_cast<int>((bits + info(rule).offset) >> 23) - info(rule).bias;
  // rceil is defined through d = amax / 6 in f32: every d in (0, 2^-126] gives byte 1; d is 0 up to 3 *
  // 2^-149.
  if (rule == ScaleRule::rceil && byte < 1) return bits > 3 ? 1 : 0;
  return static_cast<std::uint8_t>(byte < 0 ? 0 : byte);
}

}  // namespace mxfp4
