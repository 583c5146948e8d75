// From the experts of every token to the lists of lists.glsl, by one workgroup: an invocation counts and places
// the routes of an expert, so that their order follows from the ids alone.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "lists.glsl"

layout(local_size_x = 128) in;
layout(std430, binding = 0) readonly buffer In { uint choice[]; };  // word 0: tokens
layout(std430, binding = 1) coherent buffer Lists { uint lists[]; };
layout(push_constant) uniform Arguments {
  uint experts, top_k, tile;    // a tile has at most so many routes
  uint ids, weights;            // where `choice` has these
  uint slots, experts_of, factors, routes, counts;  // and the lists those
};

void main() {
  const uint mine = gl_LocalInvocationID.x, count = choice[0] * top_k;
  for (uint expert = mine; expert < experts; expert += 128) {
    uint routes_here = 0;
    for (uint slot = 0; slot < count; ++slot) routes_here += uint(choice[ids + slot] == expert);
    lists[counts + expert] = routes_here;
  }
  for (uint slot = mine; slot < count; slot += 128) {
    if (choice[ids + slot] >= experts) lists[routes + slot] = kNobody;
  }
  memoryBarrierBuffer();
  barrier();
  if (mine == 0) {  // counts become the firsts
    uint first = 0, tiles = 0;
    for (uint expert = 0; expert < experts; ++expert) {
      const uint routes_here = lists[counts + expert];
      for (uint done = 0; done < routes_here; done += tile) {
        lists[kTiles + 3 * tiles] = expert;
        lists[kTiles + 3 * tiles + 1] = first + done;
        lists[kTiles + 3 * tiles + 2] = min(tile, routes_here - done);
        ++tiles;
      }
      lists[counts + expert] = first;
      first += routes_here;
    }
    lists[0] = tiles;
    lists[1] = first;
  }
  memoryBarrierBuffer();
  barrier();
  for (uint expert = mine; expert < experts; expert += 128) {
    uint route = lists[counts + expert];
    for (uint slot = 0; slot < count; ++slot) {
      if (choice[ids + slot] != expert) continue;
      lists[slots + route] = slot;
      lists[experts_of + route] = expert;
      lists[factors + route] = choice[weights + slot];
      lists[routes + slot] = route;
      ++route;
    }
  }
}
