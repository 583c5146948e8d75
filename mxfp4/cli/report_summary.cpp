#include "mxfp4/cli/report_summary.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "mxfp4/cli/text.h"

namespace mxfp4::cli {
namespace {

using job::ReportedWeight;

constexpr double kGain = 1;             // decibels that a weight could have, to call a model fair only
constexpr double kWorthAWord = 0.1;     // decibels, to say so
constexpr double kSaturated = 0.10;     // a share of codes that no rule but floor6 reaches on weights
constexpr double kSame = 0.99;          // of the blocks, to say which rule it was
constexpr std::uint64_t kMany = 10000;  // codes, to wonder why there is no 6

// The median of an even number is the lower of the middle two: a value that one of them has.
Spread spread_of(std::vector<double> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  return {values.front(), values[(values.size() - 1) / 2], values.back()};
}

template <class Value>
Spread spread_over(const std::vector<ReportedWeight>& weights, const Value& value) {
  std::vector<double> values;
  for (const ReportedWeight& weight : weights) {
    if (weight.numbers.compared && weight.numbers.trial.blocks > 0) values.push_back(value(weight.numbers));
  }
  return spread_of(std::move(values));
}

double saturated_share(const job::WeightNumbers& numbers) noexcept {
  return static_cast<double>(numbers.saturated()) /
         static_cast<double>(std::max<std::uint64_t>(2 * 16 * numbers.blocks(), 1));
}

std::string compared_text(const ReportSummary& summary) {
  if (std::isinf(summary.sqnr_db.worst) && summary.sqnr_db.worst > 0)
    return "Every weight has exactly the original's values.";
  return fmt::format("Every weight keeps {} or more of its original, half of them {} or more.",
                     format_decibels(summary.sqnr_db.worst), format_decibels(summary.sqnr_db.median));
}

double best_median(const ReportSummary& summary) noexcept {
  return summary.rules.front().sqnr_db.median;
}

// What the weight would gain under the optimal rule, in decibels.
double gain_of(const job::Trial& trial) noexcept {
  const job::Energy& optimal = trial.rules[static_cast<std::size_t>(ScaleRule::optimal)].error;
  const double gain = optimal.sqnr_db() - trial.error.sqnr_db();
  return std::isfinite(gain) ? gain : 0;
}

void judge(const job::Report& report, ReportSummary& summary) {
  const double saturated = saturated_share(summary.total);
  if (!report.problems.empty()) {
    summary.grade = Grade::bad;
    summary.verdict = fmt::format("{} found, listed below.", plural(report.problems.size(), "problem"));
  } else if (summary.compared) {
    const char* const optimal = info(ScaleRule::optimal).name;
    summary.verdict = compared_text(summary);
    if (summary.gaining > 0) {
      summary.grade = Grade::fair;
      summary.verdict = fmt::format(
          "Nothing is broken, but {} of {} would be {:.0f} dB or more better if quantised with {}, up to "
          "{:.1f} dB. {}",
          format_count(summary.gaining), plural(summary.total.weights, "weight"), kGain, optimal,
          summary.most_gain, summary.verdict);
    } else if (const double gain = best_median(summary) - summary.sample_db.median; gain >= kWorthAWord) {
      summary.verdict += fmt::format(" With {} it would be {:.1f} dB more.", optimal, gain);
    }
  } else if (saturated > kSaturated) {
    summary.grade = Grade::fair;
    summary.verdict = fmt::format(
        "Nothing is broken, but {} of the codes are 6 or -6: the scales look too small. Compare it with "
        "its original.",
        format_percent(saturated, 1));
  } else if (summary.total.saturated() == 0 && summary.total.elements - summary.total.zeros() > kMany) {
    summary.grade = Grade::fair;
    summary.verdict =
        "Nothing is broken, but no code is 6 or -6: the scales look too large. Compare it with its original.";
  } else {
    summary.verdict = "Nothing is broken, and the codes make good use of their scales.";
  }
}

}  // namespace

ReportSummary::ReportSummary(const job::Report& report) : total(report.total()) {
  for (const ReportedWeight& weight : report.weights) {
    compared |= weight.numbers.compared && weight.numbers.trial.blocks > 0;
    worst_first.push_back(&weight);
  }
  const auto key = [](const ReportedWeight* weight) {
    const job::WeightNumbers& numbers = weight->numbers;
    const double decibels = numbers.compared ? numbers.error.sqnr_db() : INFINITY;
    // A NaN stands before everything.
    return std::pair(std::isnan(decibels) ? -INFINITY : decibels, -saturated_share(numbers));
  };
  std::stable_sort(worst_first.begin(), worst_first.end(),
                   [&](const auto* a, const auto* b) { return key(a) < key(b); });
  if (compared) {
    sqnr_db = spread_over(report.weights, [](const auto& numbers) { return numbers.error.sqnr_db(); });
    sample_db =
        spread_over(report.weights, [](const auto& numbers) { return numbers.trial.error.sqnr_db(); });
    for (const ScaleRuleInfo& rule : kScaleRules) {
      const auto at = static_cast<std::size_t>(rule.rule);
      const Spread spread = spread_over(report.weights, [&](const job::WeightNumbers& numbers) {
        return numbers.trial.rules[at].error.sqnr_db();
      });
      rules.push_back(
          {rule.rule, spread, total.trial.rules[at].saturated, total.trial.rules[at].same_blocks});
    }
    // Of equals the default first.
    std::stable_sort(rules.begin(), rules.end(), [](const RuleResult& a, const RuleResult& b) {
      const auto order = [](const RuleResult& r) {
        return std::pair(-r.sqnr_db.median, r.rule != ScaleRule::optimal);
      };
      return order(a) < order(b);
    });
    nearest = &*std::max_element(rules.begin(), rules.end(),
                                 [](const auto& a, const auto& b) { return a.same_blocks < b.same_blocks; });
    made_by_nearest =
        static_cast<double>(nearest->same_blocks) >= kSame * static_cast<double>(total.trial.blocks);
    for (const ReportedWeight& weight : report.weights) {
      const double gain = gain_of(weight.numbers.trial);
      gaining += gain >= kGain;
      most_gain = std::max(most_gain, gain);
    }
  }
  judge(report, *this);
}

const char* to_string(Grade grade) noexcept {
  return grade == Grade::good ? "good" : grade == Grade::fair ? "fair" : "bad";
}

}  // namespace mxfp4::cli
