#include "mxfp4/job/report_job.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <mutex>
#include <unordered_map>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/job/block_scan_internal.h"
#include "mxfp4/job/content_scan_internal.h"
#include "mxfp4/job/preflight_internal.h"
#include "mxfp4/job/rule_trial_internal.h"
#include "mxfp4/job/verify_job.h"

namespace mxfp4::job {
namespace {

using NumbersOf = std::unordered_map<std::string_view, WeightNumbers*>;

// Codes and scales of every weight, each read once.
void count(const Checkpoint& checkpoint, const NumbersOf& numbers, Pass& pass) {
  std::vector<const Weight*> weights;
  for (const Weight& weight : checkpoint.weights) {
    if (weight.is_quantized()) weights.push_back(&weight);
  }
  pass.expect(block_bytes(weights));
  std::mutex mutex;
  scan_blocks(checkpoint.files, weights, pass, [&](const BlockStretch& blocks) {
    const ByteCounts codes = count_bytes(blocks.codes), scales = count_bytes(blocks.scales);
    const std::uint64_t zero_blocks = count_codes(blocks.codes).zero_blocks;
    const std::lock_guard lock(mutex);
    WeightNumbers& into = *numbers.at(weights[blocks.weight]->name);
    into.zero_blocks += zero_blocks;
    for (std::size_t byte = 0; byte < codes.size(); ++byte) {
      into.scales[byte] += scales[byte];
      into.codes[byte & 15] += codes[byte];
      into.codes[byte >> 4] += codes[byte];
    }
  });
}

// What verify has compared: a weight, or parts of one.
void take_errors(const std::vector<ComparedWeight>& compared, const NumbersOf& numbers, Report& report) {
  for (const ComparedWeight& part : compared) {
    const auto found = numbers.find(part.weight);
    if (found == numbers.end()) {
      report.kept_same += part.noise == 0;
      continue;
    }
    WeightNumbers& into = *found->second;
    into.compared = true;
    into.error.add({part.signal, part.noise});
    into.max_error = std::max(into.max_error, part.max_error);
  }
}

void take_trials(const Checkpoint& original, const Checkpoint& checkpoint, const NumbersOf& numbers,
                 Pass& pass) {
  std::vector<Matched::Pair> pairs;
  for (Matched::Pair& pair : match_weights(original, checkpoint).pairs) {
    if (!pair.b.weight().is_quantized() || !pair.a.numeric() || pair.a.shape() != pair.b.shape()) continue;
    pass.expect(sample_bytes(pair));
    pairs.push_back(std::move(pair));
  }
  const std::vector<Trial> trials = try_rules(pairs, pass);
  for (std::size_t i = 0; i < pairs.size(); ++i) numbers.at(pairs[i].b.weight().name)->trial.add(trials[i]);
}

}  // namespace

double Energy::sqnr_db() const noexcept {
  return noise == 0 ? std::numeric_limits<double>::infinity() : 10 * std::log10(signal / noise);
}

void Energy::add(const Energy& other) noexcept {
  signal += other.signal;
  noise += other.noise;
}

void RuleTrial::add(const RuleTrial& other) noexcept {
  error.add(other.error);
  saturated += other.saturated;
  same_blocks += other.same_blocks;
}

void Trial::add(const Trial& other) noexcept {
  elements += other.elements;
  blocks += other.blocks;
  error.add(other.error);
  for (std::size_t rule = 0; rule < rules.size(); ++rule) rules[rule].add(other.rules[rule]);
}

std::uint64_t WeightNumbers::blocks() const noexcept {
  std::uint64_t all = 0;
  for (const std::uint64_t count : scales) all += count;
  return all;
}

void WeightNumbers::add(const WeightNumbers& other) noexcept {
  weights += other.weights;
  elements += other.elements;
  for (std::size_t code = 0; code < codes.size(); ++code) codes[code] += other.codes[code];
  for (std::size_t byte = 0; byte < scales.size(); ++byte) scales[byte] += other.scales[byte];
  zero_blocks += other.zero_blocks;
  compared |= other.compared;
  error.add(other.error);
  max_error = std::max(max_error, other.max_error);
  trial.add(other.trial);
}

WeightNumbers Report::total() const noexcept {
  WeightNumbers total;
  for (const ReportedWeight& weight : weights) total.add(weight.numbers);
  return total;
}

Report run_report(const ReportRequest& request) {
  Report report;
  Problems ignored;  // verify lists them
  const Checkpoint checkpoint = open_checkpoint(request.path, "", &ignored);
  check_readable(checkpoint);
  for (const Weight& weight : checkpoint.weights) {
    if (!weight.is_quantized()) {
      ++report.kept;
      continue;
    }
    WeightNumbers numbers;
    numbers.weights = 1;
    numbers.elements = static_cast<std::uint64_t>(element_count(weight.quantized.shape));
    report.weights.push_back({weight.name, weight.quantized.shape, numbers});
  }
  if (report.weights.empty()) {
    fail(ErrorCode::invalid_argument, "{}: there is no MXFP4 weight to report on", request.path.native());
  }
  NumbersOf numbers;
  for (ReportedWeight& weight : report.weights) numbers[weight.name] = &weight.numbers;

  VerifyRequest verify;
  verify.path = request.path;
  verify.against = request.against;
  verify.threads = request.threads;
  verify.progress = request.progress;
  verify.stop = request.stop;
  VerifyReport verified = run_verify(verify);
  report.convention = std::move(verified.convention);
  report.problems = std::move(verified.problems);
  report.files = verified.files;
  report.tensors = verified.tensors;
  report.bytes = verified.bytes;
  take_errors(verified.compared, numbers, report);

  Pass pass(request.threads, request.progress, request.stop);
  count(checkpoint, numbers, pass);
  if (!request.against.empty()) {
    const Checkpoint original = open_checkpoint(request.against);
    take_trials(original, checkpoint, numbers, pass);
    check_unchanged(original.files);
  }
  check_unchanged(checkpoint.files);
  return report;
}

}  // namespace mxfp4::job
