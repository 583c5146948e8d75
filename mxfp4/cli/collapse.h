// Names of many layers as a few lines: model.layers.{0..23}.mlp.router.weight.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace mxfp4::cli {

/// A name, and what must be equal for two of them to stand on one line: their dtype, shape, ...
struct Listed {
  std::string name;
  std::string kind;
};

/// Names that stand on one line.
struct Line {
  std::string name;                  ///< with {first..last} where the members differ
  std::vector<std::size_t> members;  ///< indices of what was given, ascending

  /// The name up to its last number, "model.layers.{0..23}", and what follows that; a name without numbers
  /// has no head.
  std::string head, tail;
};

/// Whether names that differ in one word, q_proj and k_proj, stand on one line as well.
enum class Siblings { apart, together };

/// Puts together names that differ only in numbers that stand between dots. A line never claims a name that
/// was not given: {0..23}.{0..3} stands for all 96. Lines are in the order of their first members, those of
/// one head together.
std::vector<Line> collapse(std::span<const Listed> names, Siblings siblings = Siblings::apart);

}  // namespace mxfp4::cli
