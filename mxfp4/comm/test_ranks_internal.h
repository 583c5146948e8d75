// The ranks of a test program under mpirun.
#pragma once

#include "mxfp4/comm/communicator.h"

namespace mxfp4 {

/// Those that run this program together.
Communicator& ranks();

}  // namespace mxfp4
