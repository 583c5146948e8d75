// Layers from checkpoints.
#pragma once

#include <string_view>

#include "mxfp4/checkpoint/checkpoint.h"
#include "mxfp4/layer/linear.h"

namespace mxfp4::job {

/// The Linear layer of that name ("model.layers.0.self_attn.q_proj", with or without ".weight"), with its
/// bias if the checkpoint has one. While it is packed, the pages of the file are given back: memory beyond
/// the layer's own stays small, whatever the size of the weight. Not packed, the checkpoint must outlive the
/// layer, and base/lost_pages.h says what comes of a file that is shortened meanwhile. Throws Error
/// invalid_argument if there is no such weight, unsupported if it is not MXFP4, is a stack of experts, or is
/// GGUF's and not to be packed, or for a bias that is none of N floats, and what Linear throws.
Linear load_linear(const Checkpoint& checkpoint, std::string_view name, LayerOptions options = {});

}  // namespace mxfp4::job
