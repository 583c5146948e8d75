// prefill.glsl, with activations of f32.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "lists.glsl"
#include "activations_f32.glsl"
#include "prefill.glsl"
