// The one seam to threads.
#pragma once

#include <cstddef>

#include "mxfp4/base/context.h"

namespace mxfp4 {

/// A loop's body as parallel_for takes it: a function that somebody else owns, called without allocating.
struct LoopBody {
  const void* function = nullptr;
  void (*call)(const void* function, int worker, std::size_t index) = nullptr;
};
void run_parallel(const Context& context, std::size_t count, const LoopBody& body);

/// Calls body(worker, index) once for every index in [0, count), on context.threads threads, worker in
/// [0, context.threads); indices are handed out in ascending order to whoever is free. Which worker takes
/// which index is left open, so results must not depend on it. After an exception no new index is begun; the
/// exception of the lowest index is rethrown here.
template <class Body>
void parallel_for(const Context& context, std::size_t count, const Body& body) {
  run_parallel(context, count, {&body, [](const void* function, int worker, std::size_t index) {
                                  (*static_cast<const Body*>(function))(worker, index);
                                }});
}

}  // namespace mxfp4
