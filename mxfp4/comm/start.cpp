#include "mxfp4/comm/start.h"

#include <cstdlib>

#include <dlfcn.h>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/base/version.h"
#include "mxfp4/comm/mpi_internal.h"

namespace mxfp4 {

std::string launched_as() {
  // Each is set by some launchers only; PMIX_RANK tells of no number, so of one rank as well.
  for (const char* const name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_RANK"}) {
    const char* const value = std::getenv(name);
    if (value == nullptr) continue;
    return std::string_view(value) == "1" && std::string_view(name) != "PMIX_RANK"
               ? ""
               : fmt::format("{}={}", name, value);
  }
  return "";
}

std::unique_ptr<Communicator> start_communicator() {
  const std::string launched = launched_as();
  if (launched.empty()) return single_process();
  const std::string file = fmt::format("libmxfp4_mpi-{}.so", version());
  // The plugins of MPI look for its names among those of all; it is never closed, as MPI starts only once.
  void* const module = dlopen(file.c_str(), RTLD_NOW | RTLD_GLOBAL | RTLD_NODELETE);
  if (module == nullptr) {
    fail(ErrorCode::unsupported,
         "{} says that this is one of several ranks, but this is a build without MPI: {}", launched,
         dlerror());
  }
  const auto start = reinterpret_cast<StartMpi*>(dlsym(module, kStartMpi));
  std::string error = start == nullptr ? dlerror() : "";
  std::unique_ptr<Communicator> communicator(start == nullptr ? nullptr : start(error));
  if (communicator == nullptr) fail(ErrorCode::unsupported, "{}: {}", file, error);
  if (communicator->size() == 1 && !launched.starts_with("PMIX_RANK")) {
    fail(ErrorCode::unsupported,
         "{} says that this is one of several ranks, but MPI has found no other: the launcher belongs to "
         "another MPI, or the variable is left over from one",
         launched);
  }
  return communicator;
}

}  // namespace mxfp4
