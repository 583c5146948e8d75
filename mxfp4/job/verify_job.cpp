#include "mxfp4/job/verify_job.h"

#include <chrono>
#include <cmath>
#include <mutex>
#include <optional>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/checkpoint/report_internal.h"
#include "mxfp4/job/block_scan_internal.h"
#include "mxfp4/job/byte_compare_internal.h"
#include "mxfp4/job/compare_internal.h"
#include "mxfp4/job/content_scan_internal.h"
#include "mxfp4/job/deal_internal.h"
#include "mxfp4/job/preflight_internal.h"

namespace mxfp4::job {
namespace {

/// A tensor that is read, and what was found in it.
struct Scanned {
  const StoredTensor* tensor;
  const MappedFile* map;
  Found bad;
};

/// A quantised weight, and what was found in it.
struct ScannedBlocks {
  Found bad;  ///< among its scales
  CodeCounts codes;
};

// Every tensor of numbers in which something can be wrong.
std::vector<Scanned> tensors_to_scan(const Checkpoint& checkpoint) {
  std::vector<Scanned> scanned;
  for (const Weight& weight : checkpoint.weights) {
    if (weight.is_quantized()) continue;
    for (const StoredTensor* const tensor : weight.tensors()) {
      if (can_be_nonfinite(tensor->dtype)) scanned.push_back({tensor, map_of(checkpoint.files, *tensor), {}});
    }
  }
  return scanned;
}

void scan(std::vector<Scanned>& tensors, Pass& pass) {
  std::vector<std::size_t> sizes;
  for (const Scanned& scanned : tensors) sizes.push_back(scanned.tensor->bytes.size());
  const std::vector<Chunk> chunks = chunks_of(sizes);
  std::mutex mutex;
  pass.run(chunks.size(), [&](int, std::size_t index) -> std::uint64_t {
    const Chunk& chunk = chunks[index];
    Scanned& scanned = tensors[chunk.tensor];
    const std::span<const std::byte> bytes = scanned.tensor->bytes.subspan(chunk.begin, chunk.size);
    const Found found = find_nonfinite(scanned.tensor->dtype, bytes);
    if (scanned.map != nullptr) scanned.map->done_with(bytes);
    const std::lock_guard lock(mutex);
    scanned.bad.add(found, chunk.begin / (static_cast<std::size_t>(bits_of(scanned.tensor->dtype)) / 8));
    return chunk.size;
  });
  std::vector<Found> all;
  for (const Scanned& scanned : tensors) all.push_back(scanned.bad);
  pass.merge(all, [](Found& to, const Found& from) { to.add(from, 0); });
  for (std::size_t i = 0; i < all.size(); ++i) tensors[i].bad = all[i];
}

std::vector<ScannedBlocks> scan(const ModelFiles& files, const std::vector<const Weight*>& weights,
                                Pass& pass) {
  std::vector<ScannedBlocks> scanned(weights.size());
  std::mutex mutex;
  scan_blocks(files, weights, pass, [&](const BlockStretch& blocks) {
    const CodeCounts codes = count_codes(blocks.codes);
    const Found bad = find_nonfinite(Dtype::f8_e8m0, blocks.scales);
    const std::lock_guard lock(mutex);
    scanned[blocks.weight].bad.add(bad, blocks.first);
    scanned[blocks.weight].codes.add(codes);
  });
  pass.merge(scanned, [](ScannedBlocks& to, const ScannedBlocks& from) {
    to.bad.add(from.bad, 0);
    to.codes.add(from.codes);
  });
  return scanned;
}

void report_bad_scales(const Checkpoint& checkpoint, const StoredTensor& tensor, const Shape& shape,
                       const Found& bad, Problems& problems) {
  report(&problems, ProblemKind::scale_255, tensor.name,
         "{}: tensor '{}': scale {} is 255, which is NaN; {} of {} scales are",
         checkpoint.files.file_of(tensor), tensor.name, place(bad.first, shape), bad.count,
         element_count(shape));
}

void report_content(const Checkpoint& checkpoint, const Scanned& scanned, Problems& problems) {
  if (scanned.bad.count == 0) return;
  const StoredTensor& tensor = *scanned.tensor;
  if (tensor.dtype == Dtype::f8_e8m0)
    return report_bad_scales(checkpoint, tensor, tensor.shape, scanned.bad, problems);
  const auto element_bytes = static_cast<std::size_t>(bits_of(tensor.dtype)) / 8;
  report(&problems, ProblemKind::non_finite, tensor.name,
         "{}: tensor '{}': element {} is {}; {} of {} elements are not finite",
         checkpoint.files.file_of(tensor), tensor.name, place(scanned.bad.first, tensor.shape),
         element_text(tensor.dtype, tensor.bytes.data() + scanned.bad.first * element_bytes),
         scanned.bad.count, element_count(tensor.shape));
}

void add_notes(const std::vector<ScannedBlocks>& weights, std::vector<std::string>& notes) {
  CodeCounts counts;
  for (const ScannedBlocks& scanned : weights) counts.add(scanned.codes);
  if (counts.blocks == 0) return;
  notes.push_back(fmt::format("{} of {} codes are -0", counts.negative_zeros, counts.codes));
  notes.push_back(
      fmt::format("{} of {} codes are 6 or -6, the largest there are", counts.saturated, counts.codes));
  notes.push_back(fmt::format("{} of {} blocks are all zeros", counts.zero_blocks, counts.blocks));
}

void verify_content(const Checkpoint& checkpoint, Pass& pass, VerifyReport& report) {
  std::vector<Scanned> tensors = tensors_to_scan(checkpoint);
  std::vector<const Weight*> quantized;
  for (const Weight& weight : checkpoint.weights) {
    if (weight.is_quantized()) quantized.push_back(&weight);
  }
  for (const Scanned& scanned : tensors) pass.expect(scanned.tensor->bytes.size());
  pass.expect(block_bytes(quantized));
  scan(tensors, pass);
  const std::vector<ScannedBlocks> blocks = scan(checkpoint.files, quantized, pass);
  check_unchanged(checkpoint.files);
  for (const Scanned& scanned : tensors) report_content(checkpoint, scanned, report.problems);
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    if (blocks[i].bad.count == 0) continue;
    Shape scales = quantized[i]->quantized.shape;
    scales.back() /= kBlockSize;
    report_bad_scales(checkpoint, *quantized[i]->scales, scales, blocks[i].bad, report.problems);
  }
  add_notes(blocks, report.notes);
}

/// Bounds and tensors of --against.
class Against {
 public:
  Against(const VerifyRequest& request, const Checkpoint& original, const Checkpoint& checkpoint,
          VerifyReport& report)
      : request_(request), original_(original), checkpoint_(checkpoint), report_(report) {}

  void run(Pass& pass) {
    const Matched matched = match_weights(original_, checkpoint_);
    for (const Operand& gone : matched.only_a) {
      add(ProblemKind::missing, gone, "{}: weight '{}' of the original is missing", request_.path.native(),
          gone.name());
    }
    for (const Operand& more : matched.only_b) {
      add(ProblemKind::extra, more, "{}: weight '{}' does not stand in the original", more.file(),
          more.name());
    }
    std::vector<Comparison> comparisons;
    for (const Matched::Pair& pair : matched.pairs) {
      if (!comparable(pair)) continue;
      comparisons.emplace_back(pair);
      pass.expect(pair.a.bytes());
    }
    run_comparisons(comparisons, pass);
    compare_bytes(same_, pass);
    check_unchanged(original_.files);
    check_unchanged(checkpoint_.files);
    for (const Comparison& comparison : comparisons) judge(comparison);
    for (const StoredPair& pair : same_) {
      if (pair.different.count == 0) continue;
      mxfp4::report(&report_.problems, ProblemKind::values, pair.b->name,
                    "{}: tensor '{}' is not the original's (A: original, B: this); {}",
                    checkpoint_.files.file_of(*pair.b), pair.b->name, pair.text());
    }
  }

 private:
  template <class... Args>
  void add(ProblemKind kind, const Operand& operand, fmt::format_string<Args...> format, Args&&... args) {
    mxfp4::report(&report_.problems, kind, operand.name(), format, std::forward<Args>(args)...);
  }

  // Whether there is an error to compute. Tensors of other kinds of numbers must be the same.
  bool comparable(const Matched::Pair& pair) {
    if (pair.a.shape() != pair.b.shape()) {
      add(ProblemKind::shape, pair.b, "{}: weight '{}' has shape {}, but {} in the original", pair.b.file(),
          pair.b.name(), to_string(pair.b.shape()), to_string(pair.a.shape()));
      return false;
    }
    if (pair.a.numeric() && pair.b.numeric()) return true;
    const StoredTensor &a = *pair.a.weight().stored, &b = *pair.b.weight().stored;
    if (a.dtype != b.dtype) {
      add(ProblemKind::dtype, pair.b, "{}: tensor '{}' is {}, but {} in the original", pair.b.file(), b.name,
          to_string(b.dtype), to_string(a.dtype));
    } else {
      same_.push_back({&a, &b, map_of(original_.files, a), map_of(checkpoint_.files, b), {}});
    }
    return false;
  }

  void judge(const Comparison& comparison) {
    const Distance total = comparison.total();
    const Operand& weight = comparison.pair().b;
    const double sqnr = total.sqnr_db();
    report_.compared.push_back(
        {weight.name(), weight.weight().name, total.signal, total.noise, sqnr, total.largest});
    const bool noisy = !(sqnr >= request_.min_sqnr_db);
    if (!noisy && !(request_.max_error && total.largest > *request_.max_error)) return;
    const Element worst = comparison.most_distant();
    const std::string bound =
        noisy ? fmt::format("SQNR {} dB is below {} dB; ", shown(sqnr), request_.min_sqnr_db)
              : fmt::format("an error above {}; ", *request_.max_error);
    add(ProblemKind::error_bound, weight,
        "{}: weight '{}': {}the largest error is {}, element {}: {}, originally {}", weight.file(),
        weight.name(), bound, number_text(total.largest), place(worst.number, weight.shape()),
        number_text(worst.b), number_text(worst.a));
  }

  static std::string shown(double decibels) {
    return std::isfinite(decibels) ? fmt::format("{:.2f}", decibels) : number_text(decibels);
  }
  const VerifyRequest& request_;
  const Checkpoint& original_;
  const Checkpoint& checkpoint_;
  VerifyReport& report_;
  std::vector<StoredPair> same_;
};

/// What the ranks of a team must agree on.
Traits traits_of(const VerifyRequest& request, const Checkpoint& checkpoint) {
  Traits traits = {{"--structure", request.content ? "no" : "yes"}, {"--against", request.against.native()}};
  for (const TensorFilePtr& file : checkpoint.files.files)
    traits.emplace_back(fmt::format("{:?}", file->map.path().native()), to_string(file->map.stamp()));
  return traits;
}

}  // namespace

VerifyReport run_verify(const VerifyRequest& request) {
  const auto start = std::chrono::steady_clock::now();
  VerifyReport report;
  const Checkpoint checkpoint = open_checkpoint(request.path, "", &report.problems);
  report.convention = checkpoint.convention_name();
  report.files = checkpoint.files.files.size();
  report.tensors = checkpoint.files.tensors().size();
  for (const StoredTensor* const tensor : checkpoint.files.tensors()) report.bytes += tensor->bytes.size();
  if (!checkpoint.foreign.empty()) {
    report.notes.push_back(fmt::format(
        "the weights are quantised as {}, which is not read: only floating-point tensors are looked into",
        checkpoint.foreign));
  }
  std::optional<Checkpoint> original;
  if (!request.against.empty()) {
    original = open_checkpoint(request.against);
    check_readable(*original);
    check_readable(checkpoint);
  }
  if (request.team != nullptr) check_same_job(*request.team, traits_of(request, checkpoint));
  Pass pass(request.threads, request.progress, request.stop, request.team);
  if (request.content) verify_content(checkpoint, pass, report);
  if (original) Against(request, *original, checkpoint, report).run(pass);
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

}  // namespace mxfp4::job
