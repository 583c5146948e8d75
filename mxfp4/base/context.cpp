#include "mxfp4/base/context.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include <sched.h>
#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif
#include <sys/auxv.h>

#include "mxfp4/base/fail_internal.h"

namespace mxfp4 {
namespace {

struct IsaInfo {
  Isa isa;
  const char* name;
  const char* features;
};

constexpr IsaInfo kIsas[] = {
#define MXFP4_ISA_NAME(name, codec, linear, features) {Isa::name, #name, features},
#include "mxfp4/base/isas.inc"
#undef MXFP4_ISA_NAME
};

// Whether this build computes what is beyond AVX2 through SIMDe, on any machine: slow, and for tests only.
#ifdef MXFP4_EMULATE
constexpr bool kEmulated = true;
#else
constexpr bool kEmulated = false;
#endif

const IsaInfo& info(Isa isa) {
  return kIsas[static_cast<int>(isa)];
}

#if defined(__x86_64__)
/// Whether the processor has AMX for 8-bit integers (CPUID leaf 7, EDX bits 24 and 25) and Linux, which is
/// asked for it once for all threads, lets this process use the tile registers.
bool amx_int8() {
  static const bool usable = [] {
    constexpr unsigned kTileAndInt8 = 3u << 24;
    constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, its feature number
    unsigned a = 0, b = 0, c = 0, d = 0;
    const bool there = __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (d & kTileAndInt8) == kTileAndInt8;
    return there && syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
  }();
  return usable;
}
#endif

std::vector<std::string> words(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> result;
  for (std::string word; stream >> word;) result.push_back(word);
  return result;
}

std::string isa_names() {
  std::string names;
  for (const IsaInfo& isa : kIsas) names += std::string(names.empty() ? "" : ", ") + isa.name;
  return names;
}

}  // namespace

const char* to_string(Isa isa) noexcept {
  return info(isa).name;
}

std::vector<Isa> built_isas() {
  std::vector<Isa> isas;
  for (const IsaInfo& isa : kIsas) isas.push_back(isa.isa);
  return isas;
}

std::vector<std::string> required_features(Isa isa) {
  return words(info(isa).features);
}

std::vector<std::string> machine_features() {
  std::vector<std::string> features;
#if defined(__x86_64__)
  __builtin_cpu_init();
#define MXFP4_FEATURE(name) \
  if (kEmulated || __builtin_cpu_supports(name)) features.push_back(name)
  MXFP4_FEATURE("avx2");
  MXFP4_FEATURE("fma");
  MXFP4_FEATURE("bmi2");
  MXFP4_FEATURE("avx512f");
  MXFP4_FEATURE("avx512bw");
  MXFP4_FEATURE("avx512vl");
  MXFP4_FEATURE("avx512dq");
  MXFP4_FEATURE("avx512vbmi");
  MXFP4_FEATURE("avx512vnni");
#undef MXFP4_FEATURE
  // AVX-VNNI (CPUID leaf 7, subleaf 1, EAX bit 4), which older compilers have no name for.
  unsigned a = 0, b = 0, c = 0, d = 0;
  const bool avxvnni = __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a & 1u << 4) != 0;
  if (kEmulated || avxvnni) features.push_back("avxvnni");
  if (kEmulated || amx_int8()) features.push_back("amx_int8");
#elif defined(__aarch64__)
  const unsigned long first = getauxval(AT_HWCAP), second = getauxval(AT_HWCAP2);
  if (first & HWCAP_ASIMD) features.push_back("asimd");
  if (first & HWCAP_ASIMDDP) features.push_back("asimddp");
  if (second & HWCAP2_I8MM) features.push_back("i8mm");
#endif
  return features;
}

bool supported(Isa isa) {
  const std::vector<std::string> have = machine_features();
  for (const std::string& feature : required_features(isa)) {
    if (std::find(have.begin(), have.end(), feature) == have.end()) return false;
  }
  return true;
}

Isa default_isa() {
  const char* const forced = std::getenv("MXFP4_ISA");
  if (forced != nullptr && *forced != 0) {
    for (const IsaInfo& isa : kIsas) {
      if (std::string_view(forced) != isa.name) continue;
      if (!supported(isa.isa)) {
        fail(ErrorCode::unsupported, "MXFP4_ISA={}: this machine lacks one of: {}", forced, isa.features);
      }
      return isa.isa;
    }
    fail(ErrorCode::invalid_argument, "MXFP4_ISA={}: unknown; this build has {}", forced, isa_names());
  }
  static const Isa best = [] {
    for (const IsaInfo& isa : kIsas) {
      if (supported(isa.isa)) return isa.isa;
    }
    return Isa::scalar;
  }();
  return best;
}

std::string machine_name() {
  std::ifstream cpuinfo("/proc/cpuinfo");
  for (std::string line; std::getline(cpuinfo, line);) {
    const std::size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) {
      return line.substr(colon + 2) + (kEmulated ? " (emulated beyond AVX2)" : "");
    }
  }
  return "unknown";
}

int available_threads() noexcept {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return std::max(CPU_COUNT(&set), 1);
}

}  // namespace mxfp4
