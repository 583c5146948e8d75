// An opened checkpoint, as Python holds it.
#pragma once

#include <memory>

#include "mxfp4/checkpoint/checkpoint.h"

namespace mxfp4::python {

using CheckpointPtr = std::shared_ptr<const Checkpoint>;

/// Arrays over its files keep the checkpoint, and so the mappings, alive.
struct CheckpointFile {
  CheckpointPtr checkpoint;
};

}  // namespace mxfp4::python
