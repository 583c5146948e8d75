// What a model's tensors mean, whatever names and layouts its files use.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "mxfp4/checkpoint/config.h"
#include "mxfp4/checkpoint/convention.h"
#include "mxfp4/checkpoint/model_files.h"
#include "mxfp4/checkpoint/other_codes.h"
#include "mxfp4/checkpoint/problems.h"
#include "mxfp4/checkpoint/stored_blocks.h"
#include "mxfp4/tensor/view.h"

namespace mxfp4 {

/// One parameter of a model.
struct Weight {
  /// Its name when dense, the same in every convention of one model family:
  /// "model.layers.0.self_attn.q_proj.weight", "model.layers.0.mlp.experts.gate_up_proj".
  std::string name;
  const StoredTensor* stored = nullptr;  ///< its tensor; the codes, if it is quantised
  const StoredTensor* scales = nullptr;  ///< the scale bytes, if it is quantised
  /// The elements of a dense weight, [..., N, K] as a Linear layer means them: gpt-oss's stored [E, K, N]
  /// experts are seen transposed. Empty (rank 0, no data) for a sub-byte dtype.
  DenseView dense;
  StoredBlocks quantized;  ///< the elements of a quantised weight
  /// The elements of a weight in another quantisation, which is neither `dense` nor is_quantized(); else
  /// null.
  OtherCodesPtr other;
  /// Dense stacked experts that may be stored as [E, N, K] or as [E, K, N], and neither the names nor the
  /// config tell which. `dense` shows them as they are stored.
  bool orientation_unknown = false;

  bool is_quantized() const noexcept { return scales != nullptr; }
  /// Its elements, [..., N, K] of the matrix of a Linear layer.
  const Shape& shape() const noexcept;
  /// The tensors that it is stored in.
  std::vector<const StoredTensor*> tensors() const;
  /// What a convention's suffixes are put after: the name without ".weight", or the name itself.
  std::string_view module() const noexcept;
};

/// An opened checkpoint: files, config and weights. Nothing but headers has been read.
struct Checkpoint {
  ModelFiles files;
  ModelConfig config;
  const Convention* convention =
      nullptr;  ///< how quantised weights are stored, or would be; null: plain dense
  /// Another convention that stores the same tensors, if nothing tells which of the two this is.
  const Convention* or_else = nullptr;
  bool has_quantized = false;
  /// The quantisation of a model that has no MXFP4, but another that is read ("fp8", "nvfp4"); else empty.
  std::string other_format;
  /// A gpt-oss model, under whatever names: its experts alone are quantised by default, and the rows of
  /// gate_up alternate between gate and up.
  bool gpt_oss = false;
  bool experts_transposed = false;  ///< dense stacked experts of this model are stored as [E, K, N]
  /// The name of a quantisation that is not read here ("quark", "fp8", ...), empty if there is none. If it is
  /// set, `weights` shows every tensor as it is stored: good for a listing, and for nothing else.
  std::string foreign;
  std::vector<Weight> weights;  ///< natural order of the names

  /// The name for people and for `inspect`: "gpt-oss", "gpt-oss-dense", "compressed-tensors", "dense", "fp8",
  /// "nvfp4", ...
  std::string convention_name() const;
  const Weight* find(std::string_view name) const noexcept;
};

/// Opens and understands a model. The convention is recognised; a `convention` that is given says how to read
/// what the files leave open: with "gpt-oss", stacked experts without a config are its [E, K, N].
/// Throws what open_model and parse_config throw; Error corrupt_file where codes, scales, dtypes, shapes and
/// the config do not fit each other (all are named); invalid_argument for an unknown `convention` or one that
/// the files contradict. With `problems`, what breaks a rule is listed there, and stronger ones are asked of
/// a directory: every tensor that config and names let expect must be there, in the shape that they say.
Checkpoint open_checkpoint(const std::filesystem::path& path, std::string_view convention = "",
                           Problems* problems = nullptr);

/// Throws Error unsupported if the weights are quantised in a way that is not read here.
void check_readable(const Checkpoint& checkpoint);

/// What a dense file of this model calls the weight: its name, but for the stacked experts of MLX.
std::string dense_name(const Checkpoint& checkpoint, const Weight& weight);

/// Whether a dense file of this model stores the weight with its last two dimensions exchanged.
bool dense_is_transposed(const Checkpoint& checkpoint, const Weight& weight);

}  // namespace mxfp4
