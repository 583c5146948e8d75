// What the numbers of a report come to: the verdict, the rules in order, the worst weights.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "mxfp4/job/report_job.h"

namespace mxfp4::cli {

/// Decibels of several weights.
struct Spread {
  double worst = 0, median = 0, best = 0;
};

/// Of a scale rule, tried on the sample of every weight.
struct RuleResult {
  mxfp4::ScaleRule rule;
  Spread sqnr_db;
  std::uint64_t saturated = 0, same_blocks = 0;
};

enum class Grade { good, fair, bad };

struct ReportSummary {
  Grade grade = Grade::good;
  std::string verdict;  ///< a sentence or two
  job::WeightNumbers total;
  bool compared = false;                ///< the rest is known
  Spread sqnr_db;                       ///< of the weights, whole
  Spread sample_db;                     ///< of the weights, on the sample
  std::vector<RuleResult> rules;        ///< best median first
  const RuleResult* nearest = nullptr;  ///< the rule that gives most of the model's blocks
  bool made_by_nearest = false;         ///< it gives nearly all of them
  std::uint64_t gaining = 0;            ///< weights that the optimal rule would make better by a decibel
  double most_gain = 0;                 ///< decibels that it would give one of them
  std::vector<const job::ReportedWeight*> worst_first;  ///< by SQNR, or by the share of codes that are +-6

  explicit ReportSummary(const job::Report& report);
  ReportSummary(const ReportSummary&) = delete;
  ReportSummary& operator=(const ReportSummary&) = delete;
};

const char* to_string(Grade grade) noexcept;

}  // namespace mxfp4::cli
