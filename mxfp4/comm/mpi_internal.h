// What the library and libmxfp4_mpi agree on; both are of one version.
#pragma once

#include <string>

#include "mxfp4/comm/communicator.h"

namespace mxfp4 {

/// Starts MPI. The caller owns the result, whose destructor ends MPI; null and a text if it does not start.
using StartMpi = Communicator*(std::string& error);
inline constexpr const char* kStartMpi = "mxfp4_start_mpi";

}  // namespace mxfp4
