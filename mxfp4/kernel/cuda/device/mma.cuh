// The instructions of a product, one function each.
#pragma once

#include <cstdint>

#include <cuda_bf16.h>

#include "mxfp4/kernel/cuda/layout.h"

namespace mxfp4::kernel::cuda {

/// d += a b: m16n8k16, bf16, f32 sums.
__device__ __forceinline__ void mma(float (&d)[4], const Registers& a, std::uint32_t b0, std::uint32_t b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a.r[0]), "r"(a.r[1]), "r"(a.r[2]), "r"(a.r[3]), "r"(b0), "r"(b1));
}

/// Four 8x8 matrices of 16 bits. Memory that other threads have written: it may not move across a barrier.
__device__ __forceinline__ Registers ldmatrix(std::uint32_t address) {
  Registers r;
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r.r[0]), "=r"(r.r[1]), "=r"(r.r[2]), "=r"(r.r[3])
               : "r"(address)
               : "memory");
  return r;
}

/// Pairs of bf16 multiplied; subnormal numbers are kept.
struct TimesBf16 {
  __device__ std::uint32_t operator()(std::uint32_t a, std::uint32_t b) const {
    __nv_bfloat162 x, y;
    memcpy(&x, &a, 4);
    memcpy(&y, &b, 4);
    x = __hmul2(x, y);
    memcpy(&a, &x, 4);
    return a;
  }
};

__device__ __forceinline__ std::uint32_t shared_address(const void* p) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(p));
}

/// 16 bytes from global to shared memory, past the first cache; zeros if not `present`, and nothing is read
/// then.
__device__ __forceinline__ void copy_async(std::uint32_t to, const void* from, bool present) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(present ? 16 : 0)
               : "memory");
}
__device__ __forceinline__ void commit_copies() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}
/// Until no more than kLeft groups of copies are under way.
template <int kLeft>
__device__ __forceinline__ void wait_for_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kLeft) : "memory");
}

}  // namespace mxfp4::kernel::cuda
