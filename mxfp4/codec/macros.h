// Marks of functions that are the same on host and device, and are never emitted on their own: an inline
// function compiled in a file with wider instructions would become a symbol that the other files run, too.
#pragma once

#if defined(__CUDACC__)
#define MXFP4_CODEC __host__ __device__ __forceinline__ constexpr
#else
#define MXFP4_CODEC [[gnu::always_inline]] inline constexpr
#endif
