// Which tensors are quantised, and how: what the user says, then the model, then the defaults.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mxfp4/checkpoint/checkpoint.h"
#include "mxfp4/checkpoint/module_list.h"
#include "mxfp4/codec/block.h"
#include "mxfp4/job/quantize_job.h"

namespace mxfp4::job {

/// What was decided for one weight.
struct Decision {
  Recipe recipe;
  std::string keep_reason;  ///< empty: quantise
  bool exact = false;       ///< asked for by its exact name
};

/// The user's patterns, compiled, and the model's own list.
///
/// In this order, the first that speaks decides:
///  1. what cannot be quantised at all is kept: rank, K, dtype, orientation not known, quantised already;
///  2. the last --tensor (or --rules) pattern that names the tensor;
///  3. --exclude keeps; --include, if given, keeps all that it does not name;
///  4. the model's own list of modules to leave alone;
///  5. the defaults for its kind of model (none in a bare file).
/// A pattern of 2 or 3 that asks to quantise overrides the model's list; it overrides the defaults as well if
/// it is the exact name of the tensor or its module, so that a wide pattern does not catch embeddings and
/// routers by accident.
class Chooser {
 public:
  /// Throws Error invalid_argument for a malformed pattern or rule.
  Chooser(const QuantizeRequest& request, const Checkpoint& checkpoint);

  Decision decide(const Weight& weight);

  /// Throws Error invalid_argument for a pattern that has named no tensor so far.
  void check_all_matched() const;

 private:
  struct UserPattern {
    Pattern pattern;
    std::string origin;
    std::optional<ScaleRule> rule;  ///< of a --tensor pattern; nothing: keep
    bool matched = false;

    bool names(const Weight& weight);
    bool is_exact(const Weight& weight) const;
  };

  const Checkpoint& checkpoint_;
  Recipe recipe_;
  std::vector<UserPattern> include_, exclude_, rules_;
  std::optional<ModuleList> left_alone_;
};

}  // namespace mxfp4::job
