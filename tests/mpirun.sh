#!/bin/sh
# mpirun.sh RANKS COMMAND...: Open MPI on one machine that may have fewer processors, by whoever runs the tests.
ranks=$1
shift
[ "$(id -u)" != 0 ] || root=--allow-run-as-root
OMP_NUM_THREADS=1 exec mpirun --oversubscribe --bind-to none ${root:-} -n "$ranks" "$@"
