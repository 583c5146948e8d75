// From a request to the parts that fulfil it.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "mxfp4/checkpoint/checkpoint.h"
#include "mxfp4/checkpoint/imatrix.h"
#include "mxfp4/job/output.h"
#include "mxfp4/job/parts.h"
#include "mxfp4/job/quantize_job.h"

namespace mxfp4::job {

/// Everything decided. The parts read from the checkpoints, so these must outlive the output.
struct QuantizePlan {
  Checkpoint checkpoint;
  std::unique_ptr<Checkpoint> reference;  ///< null if none was asked for
  std::optional<ImportanceMatrix> importance;
  const Convention* format = nullptr;
  Output output;
  QuantizeReport report;
  std::vector<std::vector<std::shared_ptr<StatsCollector>>>
      stats;  ///< by tensor of the report, then by part of it
};

/// Decides what becomes of every tensor. Throws what plan_quantize throws, but for what concerns OUT.
QuantizePlan make_plan(const QuantizeRequest& request);

}  // namespace mxfp4::job
