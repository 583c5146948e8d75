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
  /// As transformers calls it: "model.layers.0.self_attn.q_proj.weight",
  /// "model.layers.0.mlp.experts.3.gate_proj.weight", "...experts.3.gate_proj.bias".
  std::string name;
  const Weight* weight = nullptr;  ///< what it is a part of, or all of
  Shape shape;                     ///< elements: [N, K], [N], ...
  DenseView dense;                 ///< them, if the weight is dense; rank 0 without data for sub-byte dtypes
  /// If the weight is quantised: rows first_row, first_row + row_step, ... of its blocks.
  std::int64_t first_row = 0, row_step = 1;

  bool is_quantized() const noexcept { return weight->is_quantized(); }
};

/// Every piece, in natural order of the names. Throws Error unsupported if nothing tells how the rows of gate
/// and up lie in a weight that joins them.
std::vector<Piece> pieces_of(const Checkpoint& checkpoint);

/// What the name of a piece says, if it is a part of an expert.
struct ExpertPiece {
  std::string prefix;  ///< "model.layers.0.mlp.experts"
  std::int64_t expert = 0;
  int projection = 0;  ///< 0 gate, 1 up, 2 down
  bool bias = false;
};
std::optional<ExpertPiece> parse_expert_piece(std::string_view name);

/// Where a piece is stored: a tensor's module, and its turn among the pieces that share the tensor. The rows
/// of one expert follow those of the expert before; within one, pieces follow each other by `turn`, or
/// alternate row by row.
struct Place {
  std::string name;          ///< the weight's, as Weight::name is: "model.layers.0.mlp.experts.gate_up_proj"
  std::int64_t expert = -1;  ///< -1: the tensor has no dimension of experts
  int turn = 0;
  bool alternates = false;
};

}  // namespace mxfp4
