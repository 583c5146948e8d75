// A model's weights in the smallest pieces that any convention stores apart, under the same names for all.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mxfp4/checkpoint/checkpoint.h"

namespace mxfp4 {

/// One matrix, vector or other tensor of a model: the experts one by one, gate and up apart, q, k and v
/// apart. Two models of one architecture have pieces of the same names, whatever their conventions;
/// converting moves the rows of pieces, and nothing else.
struct Piece {
  /// As transformers calls it, experts one by one: "model.layers.0.self_attn.q_proj.weight",
  /// "model.layers.0.mlp.experts.3.gate_proj.weight", "...experts.3.gate_proj.bias".
  std::string name;
  const Weight* weight = nullptr;  ///< what it is a part of, or all of
  Shape shape;                     ///< elements: [N, K], [N], ...
  DenseView dense;                 ///< them, if the weight is dense; without data for sub-byte dtypes
  /// If the weight is quantised: rows first_row, first_row + row_step, ... of its blocks.
  std::int64_t first_row = 0, row_step = 1;

  bool is_quantized() const noexcept { return weight->is_quantized(); }
};

/// Every piece, in natural order of the names. Stacked experts of which nothing tells how the rows of gate
/// and up lie, or which dimension is which, are one piece, under the name of the weight.
std::vector<Piece> pieces_of(const Checkpoint& checkpoint);

/// What the name of a piece says, if it is a part of an expert.
struct ExpertPiece {
  std::string_view prefix;  ///< "model.layers.0.mlp.experts"
  std::int64_t expert = 0;
  std::string_view projection;  ///< "gate_proj", "up_proj" or "down_proj"
  bool bias = false;
};
std::optional<ExpertPiece> parse_expert_piece(std::string_view name);

/// The tensor that a convention stores a piece in, and its place there: the rows of one expert behind those
/// of the one before; within an expert, pieces behind each other by `turn`, or in turns row by row.
struct Place {
  std::string name;  ///< of the weight that the tensor holds: "model.layers.0.mlp.experts.gate_up_proj"
  std::int64_t expert = -1;  ///< -1: the tensor has no dimension of experts
  int turn = 0;
  bool alternates = false;
};
Place place_of(const Convention& convention, bool gpt_oss, const Piece& piece);

/// The name under which a convention stores a tensor of the weight called so: the codes, the scales, or what
/// is not quantised.
struct StoredNames {
  std::string codes, scales, dense;
};
StoredNames stored_names(const Convention& convention, const std::string& weight, bool stacked);

}  // namespace mxfp4
