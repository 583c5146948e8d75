// Who goes where in a pass of a layer, in words (plan.h lays them out): how many tiles and routes there are, then
// tiles of three words, an expert and the first and the number of its routes; then for every route its slot,
// token * top_k + place, its expert and the factor of its input; for every slot its route or kNobody. Routes are in
// the order of the experts, those of an expert in the order of their slots.

const uint kNobody = 0xFFFFFFFFu;
const uint kTiles = 4;

// The value of E8M0 byte `byte`, halved, as two factors that are both normal: one alone could be subnormal, or
// beyond what an f32 holds. Not of byte 255.
vec2 halved_scale(uint byte) {
  const int exponent = int(byte) - 128, half_of_it = exponent >> 1;
  return vec2(uintBitsToFloat(uint(127 + half_of_it) << 23),
              uintBitsToFloat(uint(127 + exponent - half_of_it) << 23));
}

// Twice the value of a code.
float twice_value(uint code) {
  const float magnitude = float(0xC8643210u >> 4 * (code & 7u) & 15u);
  return (code & 8u) != 0 ? -magnitude : magnitude;
}

// The exponent of a step of int8 activations stands above its fraction, with this added; and a step for blocks with
// values that are not finite.
const int kStepBias = 300;
const uint kNanStep = 0xFFFFFFFFu;
