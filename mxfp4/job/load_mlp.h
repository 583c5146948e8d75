// The mixture-of-experts layers of a checkpoint.
#pragma once

#include <cstdint>

#include "mxfp4/checkpoint/checkpoint.h"
#include "mxfp4/layer/mlp.h"
#include "mxfp4/layer/sharded_experts.h"

namespace mxfp4::job {

/// The experts of a decoder layer, whether the checkpoint stacks them or lists them one by one. While they
/// are packed, the pages of the files are given back; of GGUF, where codes and scales lie in turns, a copy of
/// the layer is packed. Throws Error invalid_argument if the layer has no experts, unsupported if one of
/// their weights is not MXFP4, or lies in turns and is not to be packed, or the model's family is not known
/// (see MoeConfig), and what Experts throws.
Experts load_experts(const Checkpoint& checkpoint, std::int64_t layer, LayerOptions options = {});

/// A rank's part of them, over all ranks, which call together: ranges of experts, in groups of `tensor` ranks
/// that share their channels, or as a plan says. Of the weights a rank packs its own part only, and reads no
/// more, unless they are GGUF's.
/// Throws also Error unsupported for channels without options.pack, and what share_experts(), cut_channels()
/// and ShardedExperts throw.
ShardedExperts load_sharded_experts(const Checkpoint& checkpoint, std::int64_t layer, Communicator& ranks,
                                    int tensor = 1, LayerOptions options = {});
ShardedExperts load_sharded_experts(const Checkpoint& checkpoint, std::int64_t layer, Communicator& ranks,
                                    const ShardPlan& plan, LayerOptions options = {});

/// Its router. Throws also Error unsupported for one that looks ids up in a table.
Router load_router(const Checkpoint& checkpoint, std::int64_t layer);

/// Both, with shared experts in whatever quantisation is read here (what is no MXFP4 is copied), and tables
/// of experts by token id.
Mlp load_mlp(const Checkpoint& checkpoint, std::int64_t layer, LayerOptions options = {});

}  // namespace mxfp4::job
