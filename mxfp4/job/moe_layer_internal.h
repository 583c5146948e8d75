// The tensors of a mixture-of-experts layer, whatever its family calls them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "mxfp4/checkpoint/checkpoint.h"
#include "mxfp4/checkpoint/moe_config.h"
#include "mxfp4/layer/expert_matrices.h"
#include "mxfp4/layer/shared_expert.h"

namespace mxfp4::job {

/// How a family calls the parts of a layer.
struct MoeNames {
  const char* layer;             ///< what all begin with; "{}" is the layer's number
  const char* router;            ///< with ".weight" and ".bias"
  const char* correction;        ///< of the router's scores, or null
  const char* table;             ///< of expert ids by token id, instead of a choice, or null
  const char *gate, *up, *down;  ///< of one expert: "experts.3.gate_proj.weight"
  // All of a layer in one weight; gate and up may also stand apart, under one name in all families.
  const char* both = "experts.gate_up_proj";
  const char* downs = "experts.down_proj";
};

/// The matrices of all experts, with memory for biases that had to be collected, and for weights that had to
/// be put in order.
struct OwnedMatrices {
  ExpertMatrices matrices;
  std::vector<float> bias;
  std::vector<std::vector<std::uint8_t>> copies;
};

class MoeLayer {
 public:
  /// `in_place`: its weights are to be used where they lie. Throws Error invalid_argument if the layer has no
  /// router. Refers to the checkpoint.
  MoeLayer(const Checkpoint& checkpoint, std::int64_t number, bool in_place = false);

  const Checkpoint& checkpoint() const noexcept { return checkpoint_; }
  std::string where() const { return checkpoint_.files.path.string(); }  ///< what messages begin with
  const MoeNames& names() const noexcept { return *names_; }
  const std::string& prefix() const noexcept { return prefix_; }
  MoeConfig config() const;
  const Weight* find(const std::string& name) const { return checkpoint_.find(prefix_ + name); }
  const Weight* table() const { return names_->table == nullptr ? nullptr : find(names_->table); }

  /// A projection that stands alone, MXFP4 or not.
  SharedExpert::Projection projection(const std::string& name, const LayerOptions& options) const;
  /// The stack of that name, if there is one.
  std::optional<OwnedMatrices> stack(const std::string& name) const;
  /// The stack of that name, or the matrices of the other one that are listed one by one.
  OwnedMatrices stack_or_list(const char* stack_name, const char* listed) const;

 private:
  OwnedMatrices list(const std::string& name) const;
  /// The blocks of the MXFP4 weight of that name; `into` keeps them if they are a copy.
  Mxfp4View blocks(const std::string& name, int rank, OwnedMatrices& into) const;

  const Checkpoint& checkpoint_;
  bool in_place_;
  const MoeNames* names_ = nullptr;
  std::string prefix_;
};

}  // namespace mxfp4::job
