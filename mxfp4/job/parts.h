// Makers of parts: a copy, a weight quantised, a weight expanded.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "mxfp4/base/file.h"
#include "mxfp4/checkpoint/other_codes.h"
#include "mxfp4/checkpoint/stored_blocks.h"
#include "mxfp4/codec/block.h"
#include "mxfp4/container/tensor_file.h"
#include "mxfp4/job/part.h"
#include "mxfp4/kernel/ops.h"
#include "mxfp4/tensor/view.h"

namespace mxfp4::job {

/// A tensor to read, and the mapped file that holds it: its pages are asked for ahead and given back when
/// done with.
struct Source {
  DenseView view;  ///< any strides
  const StoredTensor* stored = nullptr;
  const MappedFile* map = nullptr;
};

/// The source's elements in order, under `name`, in their own dtype.
Part copy_part(std::string name, const Source& source);

/// A stored tensor byte for byte, whatever its dtype.
Part copy_part(std::string name, const StoredTensor& stored, const MappedFile* map);

/// What a weight is quantised by, beside its own elements.
struct Hints {
  DenseView reference;  ///< scale bytes [..., N, K / 32] to keep where they are as good; or empty
  kernel::ColumnWeights importance = {};  ///< of its columns, by its rows from the first on
};

/// Codes and scales of a weight [..., N, K], K a multiple of 32. `codes` and `scales` name the tensors and
/// shape them.
/// Its units throw Error corrupt_file at a non-finite element under NonFinite::error, with the element's
/// index in the stored tensor.
Part quantize_part(safetensors::TensorSpec codes, safetensors::TensorSpec scales, const Source& source,
                   const Recipe& recipe, const Hints& hints, std::shared_ptr<StatsCollector> stats);

/// A quantised weight [..., N, K] expanded to `dtype`; with `transposed`, [E, N, K] is written as [E, K, N].
Part dequantize_part(std::string name, const StoredBlocks& weight, Dtype dtype, bool transposed,
                     const MappedFile* map);

/// A weight in another quantisation, as F32, BF16 or F16.
Part expand_part(std::string name, const OtherCodesPtr& weight, Dtype dtype);

}  // namespace mxfp4::job
