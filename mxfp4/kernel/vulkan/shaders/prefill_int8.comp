// prefill.glsl, with activations of 8-bit integers, on any device.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "lists.glsl"
#include "activations_int8.glsl"
#include "prefill.glsl"
