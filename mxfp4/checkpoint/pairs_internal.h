// Codes and their scales.
#pragma once

#include <unordered_map>
#include <unordered_set>

#include "mxfp4/checkpoint/config.h"
#include "mxfp4/checkpoint/convention.h"
#include "mxfp4/checkpoint/model_files.h"
#include "mxfp4/checkpoint/other_codes.h"
#include "mxfp4/checkpoint/stored_blocks.h"

namespace mxfp4 {

/// The quantised weights of a model.
struct Pairs {
  const Convention* convention = nullptr;  ///< null: there are none
  /// Another convention stores the same tensors, and the config does not say which of them it is.
  const Convention* or_else = nullptr;
  std::unordered_map<const StoredTensor*, const StoredTensor*> scales_of;  ///< by codes
  std::unordered_set<const StoredTensor*> scales;

  /// Weights in another quantisation that is read, by their codes; and what else they are stored in.
  std::unordered_map<const StoredTensor*, OtherCodesPtr> others;
  std::unordered_set<const StoredTensor*> parts_of_others;

  bool has(const StoredTensor& tensor) const {
    return scales_of.count(&tensor) > 0 || scales.count(&tensor) > 0 || others.count(&tensor) > 0 ||
           parts_of_others.count(&tensor) > 0;
  }
};

/// Finds what is called codes and scales by a convention and has its dtypes. Where conventions share both,
/// the config decides, or `wanted` if that is given.
Pairs find_pairs(const ModelFiles& files, const ModelConfig& config, const Convention* wanted = nullptr);

/// Throws Error corrupt_file for shapes that do not fit, codes without scales, scales without codes, dtypes
/// that are none of the convention's, or two conventions in one model; with `problems`, lists these and takes
/// what breaks a rule out of the pairs.
void check_pairs(const ModelFiles& files, Pairs& pairs, Problems* problems = nullptr);

/// The elements of a pair that check_pairs has left.
StoredBlocks blocks_of_pair(const StoredTensor& codes, const StoredTensor& scales);

}  // namespace mxfp4
