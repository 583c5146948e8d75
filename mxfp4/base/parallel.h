// The one seam to threads.
#pragma once

#include <cstddef>
#include <functional>

#include "mxfp4/base/context.h"

namespace mxfp4 {

/// Calls body(worker, index) once for every index in [0, count), on context.threads threads, worker in
/// [0, context.threads); indices are handed out in ascending order to whoever is free. Which worker takes
/// which index is left open, so results must not depend on it. After an exception no new index is begun; the
/// exception of the lowest index is rethrown here.
void parallel_for(const Context& context, std::size_t count,
                  const std::function<void(int worker, std::size_t index)>& body);

}  // namespace mxfp4
