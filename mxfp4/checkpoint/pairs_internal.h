// Codes and their scales.
#pragma once

#include <unordered_map>
#include <unordered_set>

#include "mxfp4/checkpoint/convention.h"
#include "mxfp4/checkpoint/model_files.h"
#include "mxfp4/checkpoint/stored_blocks.h"

namespace mxfp4 {

/// The quantised weights of a model.
struct Pairs {
  const Convention* convention = nullptr;                                  ///< null: there are none
  std::unordered_map<const StoredTensor*, const StoredTensor*> scales_of;  ///< by codes
  std::unordered_set<const StoredTensor*> scales;
};

/// Finds the codes of every convention and pairs them with their scales. Throws Error corrupt_file for codes
/// without scales, scales without codes, dtypes and shapes that do not fit, or two conventions in one model;
/// with `problems`, lists these and leaves what breaks a rule unpaired.
Pairs find_pairs(const ModelFiles& files, Problems* problems = nullptr);

/// The elements of a pair that find_pairs found.
StoredBlocks blocks_of_pair(const StoredTensor& codes, const StoredTensor& scales);

}  // namespace mxfp4
