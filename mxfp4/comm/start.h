// How a process finds out that it is one of several ranks.
#pragma once

#include <memory>
#include <string>

#include "mxfp4/comm/communicator.h"

namespace mxfp4 {

/// The setting in the environment by which a launcher (mpirun, srun) says that this process is one of several
/// ranks, "OMPI_COMM_WORLD_SIZE=3"; empty if none does.
std::string launched_as();

/// Over MPI under a launcher, else the single process. MPI is a file of its own, libmxfp4_mpi-VERSION.so,
/// which is looked for beside the library and as the system looks for libraries, and opened under a launcher
/// only. Throws Error unsupported under a launcher if it is not there, does not start, or has found no other
/// rank where the launcher tells of some: every one of them would do all of the work. Called once; the
/// object must end before the process does.
std::unique_ptr<Communicator> start_communicator();

}  // namespace mxfp4
