// What compilers must not see through.
#pragma once

#include <cstddef>

namespace mxfp4::kernel {
namespace {

/// A value that the compiler has to have in a register, and of which it forgets where it comes from: it can
/// neither drop, hoist, merge nor repeat what makes it. One wider than registers, which is emulated, or a
/// struct lies in memory.
template <class Vector>
[[gnu::always_inline]] inline void make_opaque(Vector& x) noexcept {
#if defined __aarch64__
  asm volatile("" : "+w"(x));
#elif defined __AVX512F__
  asm volatile("" : "+v"(x));
#else
  if constexpr (sizeof x <= 32) {
    asm volatile("" : "+x"(x));
  } else {
    asm volatile("" : "+m"(x));
  }
#endif
}

}  // namespace
}  // namespace mxfp4::kernel
