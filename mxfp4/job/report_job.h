// What a person should know of an MXFP4 model, in numbers.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "mxfp4/checkpoint/problems.h"
#include "mxfp4/codec/scale_rule.h"
#include "mxfp4/job/progress.h"
#include "mxfp4/tensor/shape.h"

namespace mxfp4::job {

struct ReportRequest {
  std::filesystem::path path;               ///< a model directory or a file, with MXFP4 weights
  std::filesystem::path against;            ///< the model that `path` was made of; may be empty
  int threads = 0;                          ///< 0: all that this process may use
  Progress* progress = nullptr;             ///< may be null
  const std::atomic<bool>* stop = nullptr;  ///< set to end with Error interrupted; may be null
};

/// Squares summed over elements.
struct Energy {
  double signal = 0;  ///< of the original
  double noise = 0;   ///< of its distance to what it became

  double sqnr_db() const noexcept;  ///< infinite where nothing was lost
  void add(const Energy& other) noexcept;
};

/// What a scale rule makes of a sample of the original.
struct RuleTrial {
  Energy error;
  std::uint64_t saturated = 0;    ///< elements with |x| > 6 * scale
  std::uint64_t same_blocks = 0;  ///< blocks in which every value is the model's own

  void add(const RuleTrial& other) noexcept;
};

/// What the model and every rule make of the same sample.
struct Trial {
  std::uint64_t elements = 0, blocks = 0;
  Energy error;                                         ///< of the model
  std::array<RuleTrial, std::size(kScaleRules)> rules;  ///< in the order of kScaleRules

  void add(const Trial& other) noexcept;
};

/// What is known of one MXFP4 weight, or of several together.
struct WeightNumbers {
  std::uint64_t weights = 0, elements = 0;
  std::array<std::uint64_t, 16> codes = {};    ///< how often each code stands; 8 is -0
  std::array<std::uint64_t, 256> scales = {};  ///< how often each scale byte stands
  std::uint64_t zero_blocks = 0;               ///< blocks of zeros alone
  bool compared = false;                       ///< there is an original, and the rest of this is known
  Energy error;
  double max_error = 0;  ///< largest |original - value|
  Trial trial;

  std::uint64_t blocks() const noexcept;
  std::uint64_t saturated() const noexcept { return codes[7] + codes[15]; }  ///< codes of 6 and -6
  std::uint64_t zeros() const noexcept { return codes[0] + codes[8]; }
  std::uint64_t nan_blocks() const noexcept { return scales[255]; }
  void add(const WeightNumbers& other) noexcept;
};

struct ReportedWeight {
  std::string name;
  Shape shape;
  WeightNumbers numbers;
};

struct Report {
  std::string convention;
  Problems problems;                    ///< what run_verify finds
  std::vector<ReportedWeight> weights;  ///< the MXFP4 ones, in natural order of the names
  std::uint64_t files = 0, tensors = 0, bytes = 0;
  std::uint64_t kept = 0;       ///< weights that are not MXFP4
  std::uint64_t kept_same = 0;  ///< those of them that were compared with the original and are the same

  WeightNumbers total() const noexcept;
};

/// Verifies the model, counts codes and scales of every MXFP4 weight, and (`against`) quantises a sample of
/// every original by every scale rule: the whole of it up to kSampleElements, of a larger one that many in
/// strips of rows at even distances. Memory is bounded; nothing depends on threads or instruction set. Throws
/// what run_verify throws; Error unsupported if the model is quantised in a way that is not read,
/// invalid_argument if it has no MXFP4 weight.
Report run_report(const ReportRequest& request);

/// Elements of one original that are tried, about.
inline constexpr std::int64_t kSampleElements = 1 << 20;

}  // namespace mxfp4::job
