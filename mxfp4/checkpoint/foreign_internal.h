// Quantised checkpoints that are recognised but not read.
#pragma once

#include <string>

#include "mxfp4/checkpoint/config.h"
#include "mxfp4/checkpoint/model_files.h"
#include "mxfp4/checkpoint/pairs_internal.h"

namespace mxfp4 {

/// The name of a quantisation that is not read, of tensors that are in no pair: "nvfp4", "fp8", "gptq", ...;
/// empty if there is none. Tensors decide that there is one, the config what it is called where several
/// projects write the same tensors.
std::string foreign_quantization(const ModelFiles& files, const ModelConfig& config, const Pairs& pairs);

}  // namespace mxfp4
