#include "mxfp4/kernel/cpu/prefetch.h"

#ifdef __x86_64__
#include <cpuid.h>
#endif

namespace mxfp4::kernel {
namespace {

bool is_amd_until_zen4() noexcept {
#ifdef __x86_64__
  constexpr unsigned kAuth = 0x68747541, kZen4 = 0x19;  // "Auth" of "AuthenticAMD"; the family
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid(0, &a, &b, &c, &d) == 0 || b != kAuth || __get_cpuid(1, &a, &b, &c, &d) == 0) return false;
  return (a >> 8 & 0xF) + (a >> 20 & 0xFF) <= kZen4;
#else
  return false;
#endif
}

bool has_few_lines() noexcept {
  static const bool few = is_amd_until_zen4();
  return few;
}

}  // namespace

Prefetch prefetch_for(std::size_t tokens) noexcept {
  if (!has_few_lines()) return Prefetch::near;
  return tokens == 1 ? Prefetch::none : Prefetch::far;
}

Prefetch prefetch_for_rows() noexcept {
  return has_few_lines() ? Prefetch::far : Prefetch::near;
}

}  // namespace mxfp4::kernel
