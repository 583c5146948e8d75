// The mixtures of experts that are measured.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "mxfp4/cli/bench_turns.h"
#include "mxfp4/cli/bench_weights.h"
#include "mxfp4/layer/experts.h"

namespace mxfp4::cli {

/// The experts of one layer.
struct BenchedModel {
  const char* name;
  std::size_t experts, top_k, hidden, intermediate;
  bool alternate;  ///< gate and up, with swiglu_oai between them and down; otherwise apart, with silu
};

/// The one of that name; without a name the first.
const BenchedModel& benched_model(const std::string& name);

/// A layer whose experts all have the same weights, so that one copy in files' layout makes all packed ones.
class BenchModel {
 public:
  BenchModel(const BenchedModel& model, bool packed)
      : m_(model),
        copies_(packed ? 1 : model.experts),
        first_blocks_(2 * m_.intermediate * ((m_.hidden + 31) / 32)),
        down_blocks_(m_.hidden * ((m_.intermediate + 31) / 32)),
        memory_(copies_ * bytes()) {
    for (std::size_t copy = 0; copy < copies_; ++copy) {
      fill_with_weights(memory_.data() + copy * bytes(), first_blocks_);
      fill_with_weights(memory_.data() + copy * bytes() + first_blocks_ * 17, down_blocks_);
    }
  }
  std::size_t bytes() const noexcept { return (first_blocks_ + down_blocks_) * 17; }  ///< of an expert

  Mxfp4View first(std::size_t expert) const {
    return view(expert, 0, first_blocks_, 2 * m_.intermediate, m_.hidden);
  }
  Mxfp4View down(std::size_t expert) const {
    return view(expert, first_blocks_ * 17, down_blocks_, m_.hidden, m_.intermediate);
  }
  GatedUnit unit() const noexcept { return m_.alternate ? GatedUnit::swiglu_oai() : GatedUnit::silu(); }
  ExpertWeights weights() const {
    ExpertMatrices both;
    ExpertWeights w;
    for (std::size_t e = 0; e < m_.experts; ++e) {
      both.weights.push_back(first(e));
      w.down.weights.push_back(down(e));
    }
    if (m_.alternate) {
      w.gate_up = std::move(both);
    } else {
      const auto rows = static_cast<std::int64_t>(m_.intermediate);
      w.gate = rows_of_each(both, 0, rows);
      w.up = rows_of_each(both, rows, rows);
    }
    w.unit = {unit()};
    return w;
  }

 private:
  Mxfp4View view(std::size_t expert, std::size_t offset, std::size_t blocks, std::size_t rows,
                 std::size_t columns) const {
    const std::uint8_t* const codes = memory_.bytes() + expert % copies_ * bytes() + offset;
    return {
        codes, codes + blocks * 16, {static_cast<std::int64_t>(rows), static_cast<std::int64_t>(columns)}};
  }

  const BenchedModel& m_;
  std::size_t copies_, first_blocks_, down_blocks_;
  Buffer memory_;
};

/// Who goes where: one pattern, shifted from call to call, so that other experts have their turn.
class Routing {
 public:
  Routing(const BenchedModel& model, std::size_t tokens)
      : m_(model), ids_(tokens * model.top_k), weights_(ids_.size(), 1.0f / static_cast<float>(model.top_k)) {
    std::mt19937_64 random(3);
    std::vector<std::int32_t> all(model.experts);
    for (std::size_t e = 0; e < all.size(); ++e) all[e] = static_cast<std::int32_t>(e);
    for (std::size_t t = 0; t < tokens; ++t) {
      if (t > 0) std::shuffle(all.begin(), all.end(), random);
      std::copy_n(all.begin(), model.top_k, ids_.begin() + static_cast<std::ptrdiff_t>(t * model.top_k));
    }
    touched_ = std::set(ids_.begin(), ids_.end()).size();
  }
  std::size_t touched() const noexcept { return touched_; }
  ExpertChoice next() {
    const auto experts = static_cast<std::int32_t>(m_.experts), step = static_cast<std::int32_t>(m_.top_k);
    for (std::int32_t& id : ids_) id = (id + step) % experts;
    return {ids_.data(), weights_.data(), static_cast<int>(m_.top_k)};
  }

 private:
  const BenchedModel& m_;
  std::vector<std::int32_t> ids_;
  std::vector<float> weights_;
  std::size_t touched_ = 0;
};

}  // namespace mxfp4::cli
