// The tokens of a batch by the experts that they go to.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "mxfp4/layer/expert_matrices.h"
#include "mxfp4/layer/options.h"
#include "mxfp4/layer/weight_stack_internal.h"

namespace mxfp4 {

/// An expert that somebody chose.
struct ActiveExpert {
  std::uint32_t expert = 0;
  std::uint32_t first = 0;  ///< of its routes
  std::uint32_t count = 0;
};

/// Routes in the order of the experts; those of an expert in the order of the tokens, then of the slots.
class ExpertRoutes {
 public:
  /// Throws Error invalid_argument for an id that is neither -1 nor in [0, experts), naming token and slot.
  /// Its memory is the calling thread's, until the thread makes the next one.
  ExpertRoutes(const std::string& who, const std::int32_t* ids, std::size_t tokens, std::size_t top_k,
               std::size_t experts);

  std::size_t count() const noexcept { return count_; }
  std::size_t slots() const noexcept { return tokens_ * top_k_; }  ///< the most that count() can be
  std::span<const ActiveExpert> active() const noexcept { return {active_, active_count_}; }
  /// Of a route: token * top_k + slot.
  std::size_t place(std::size_t route) const noexcept { return places_[route]; }
  std::size_t token(std::size_t route) const noexcept { return places_[route] / top_k_; }
  /// No expert has more routes: the number of tokens, unless one of them names an expert twice. So memory for
  /// a batch does not depend on who is chosen.
  std::size_t most() const noexcept;

 private:
  std::size_t tokens_, top_k_, count_ = 0, active_count_ = 0;
  ActiveExpert* active_ = nullptr;
  std::uint32_t* places_ = nullptr;
};

/// Calls body(worker, expert, first group, groups) for the strips of rows of these experts' matrices, each of
/// as many groups as one product should take; `most` routes go to any of them.
template <class Body>
void parallel_strips(const Context& context, std::span<const ActiveExpert> experts, const WeightStack& stack,
                     std::size_t most, const Body& body) {
  const std::size_t groups = stack.unit(most), strips = (stack.groups() + groups - 1) / groups;
  parallel_units(context, experts.size() * strips, [&](int worker, std::size_t first, std::size_t count) {
    for (std::size_t i = first; i < first + count; ++i) {
      const std::size_t group = i % strips * groups, left = stack.groups() - group;
      body(worker, experts[i / strips], group, groups < left ? groups : left);
    }
  });
}

/// The stack of a Linear layer of all experts: `who` begins the messages, "experts: down".
WeightStack stack_of(const std::string& who, const ExpertMatrices& matrices, const LayerOptions& options);

}  // namespace mxfp4
