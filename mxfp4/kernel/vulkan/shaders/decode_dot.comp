// decode.glsl, with activations of 8-bit integers, where a device has integer dot products.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_spirv_intrinsics : require
#define MXFP4_DOT
#include "lists.glsl"
#include "activations_int8.glsl"
#include "decode.glsl"
