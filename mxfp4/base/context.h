// What a computation runs on. Bytes never depend on it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "mxfp4/base/device.h"

namespace mxfp4 {

/// Instruction sets that kernels exist for, best first. The names are those of MXFP4_ISA: "avx2", "scalar",
/// ...
enum class Isa {
#define MXFP4_ISA_NAME(name, codec, linear, features) name,
#include "mxfp4/base/isas.inc"
#undef MXFP4_ISA_NAME
};

const char* to_string(Isa isa) noexcept;

/// Whether this machine can run `isa`.
bool supported(Isa isa);

/// Every instruction set with kernels in this build, best first.
std::vector<Isa> built_isas();

/// The machine's features that `isa` needs: {"avx2", "fma"}.
std::vector<std::string> required_features(Isa isa);

/// The best supported one, or the one that the environment variable MXFP4_ISA names.
/// Throws Error invalid_argument if that is unknown, or unsupported if this machine lacks it.
Isa default_isa();

/// Features of this machine that kernels may ask for: "avx2", "avx512vnni", ...
std::vector<std::string> machine_features();

/// The processor's own name, or "unknown".
std::string machine_name();

/// Threads this process may use: the processors in its affinity mask.
int available_threads() noexcept;

/// Threads and instruction set of a computation, and a device that it runs on instead. Cheap to copy.
struct Context {
  int threads = available_threads();  ///< at least 1
  Isa isa = default_isa();
  Device device = default_device();
};

}  // namespace mxfp4
