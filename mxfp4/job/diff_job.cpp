#include "mxfp4/job/diff_job.h"

#include <chrono>
#include <set>
#include <unordered_map>

#include "mxfp4/checkpoint/json_internal.h"
#include "mxfp4/checkpoint/openai_internal.h"
#include "mxfp4/checkpoint/report_internal.h"
#include "mxfp4/job/byte_compare_internal.h"
#include "mxfp4/job/compare_internal.h"
#include "mxfp4/job/config_diff_internal.h"
#include "mxfp4/job/preflight_internal.h"

namespace mxfp4::job {
namespace {

/// Names of files, if those of both models ought to agree: a bare file may have any.
class FileNames {
 public:
  FileNames(const ModelFiles& a, const ModelFiles& b) : named_(a.is_directory && b.is_directory) {}
  std::string operator()(const ModelFiles& files, const StoredTensor& tensor) const {
    return named_ ? files.file_of(tensor) : std::string();
  }

 private:
  bool named_;
};

/// Where a tensor begins, in bytes from the first of its file.
std::uint64_t offset_of(const ModelFiles& files, const StoredTensor& tensor) {
  for (const TensorFilePtr& file : files.files) {
    if (&file->map != map_of(files, tensor)) continue;
    return static_cast<std::uint64_t>(tensor.bytes.data() - file->tensors.front().bytes.data());
  }
  return 0;
}

/// Everything about stored tensors.
class ByBytes {
 public:
  ByBytes(const Checkpoint& a, const Checkpoint& b, DiffReport& report)
      : a_(a), b_(b), report_(report), file_(a.files, b.files) {}

  void run(Pass& pass) {
    for (const StoredTensor* const tensor : a_.files.tensors()) match(*tensor);
    for (const StoredTensor* const tensor : b_.files.tensors()) {
      if (a_.files.find(tensor->name) != nullptr) continue;
      add(ProblemKind::extra, *tensor, "{}: tensor '{}' stands in B only", b_.files.file_of(*tensor),
          tensor->name);
      changed_.insert(file_(b_.files, *tensor));
    }
    compare_offsets();
    for (const StoredPair& pair : pairs_) {
      report_.bytes += pair.a->bytes.size();
      pass.expect(pair.a->bytes.size());
    }
    report_.compared = pairs_.size();
    compare_bytes(pairs_, pass);
    const std::unordered_map<const StoredTensor*, ProblemKind> kinds = kinds_of_tensors();
    for (const StoredPair& pair : pairs_) {
      if (pair.different.count == 0) continue;
      const auto found = kinds.find(pair.a);
      add(found == kinds.end() ? ProblemKind::values : found->second, *pair.a, "{}: tensor '{}' {}",
          a_.files.file_of(*pair.a), pair.a->name, pair.text());
    }
    compare_metadata();
  }

 private:
  template <class... Args>
  void add(ProblemKind kind, const StoredTensor& tensor, fmt::format_string<Args...> format, Args&&... args) {
    mxfp4::report(&report_.differences, kind, tensor.name, format, std::forward<Args>(args)...);
  }

  void match(const StoredTensor& a) {
    const StoredTensor* const b = b_.files.find(a.name);
    const std::string file = a_.files.file_of(a);
    const std::size_t before = report_.differences.size();
    if (b == nullptr) {
      add(ProblemKind::missing, a, "{}: tensor '{}' stands in A only", file, a.name);
    } else if (a.dtype != b->dtype) {
      add(ProblemKind::dtype, a, "{}: tensor '{}' is {} in A, {} in B", file, a.name, to_string(a.dtype),
          to_string(b->dtype));
    } else if (a.shape != b->shape) {
      add(ProblemKind::shape, a, "{}: tensor '{}' has shape {} in A, {} in B", file, a.name,
          to_string(a.shape), to_string(b->shape));
    } else {
      pairs_.push_back({&a, b, map_of(a_.files, a), map_of(b_.files, *b), {}});
      if (file_(a_.files, a) != file_(b_.files, *b)) {
        add(ProblemKind::index, a, "tensor '{}' stands in {} in A, in {} in B", a.name, file,
            b_.files.file_of(*b));
        changed_.insert(file_(b_.files, *b));
      }
    }
    if (report_.differences.size() > before) changed_.insert(file_(a_.files, a));
  }

  // In files that hold the same tensors: elsewhere other offsets are a matter of course.
  void compare_offsets() {
    if (a_.files.is_directory != b_.files.is_directory && a_.files.files.size() != b_.files.files.size())
      return;
    for (const StoredPair& pair : pairs_) {
      if (changed_.count(file_(a_.files, *pair.a)) > 0) continue;
      const std::uint64_t a = offset_of(a_.files, *pair.a), b = offset_of(b_.files, *pair.b);
      if (a == b) continue;
      add(ProblemKind::offset, *pair.a, "{}: the data of tensor '{}' begins at {} in A, at {} in B",
          a_.files.file_of(*pair.a), pair.a->name, a, b);
    }
  }

  std::unordered_map<const StoredTensor*, ProblemKind> kinds_of_tensors() const {
    std::unordered_map<const StoredTensor*, ProblemKind> kinds;
    for (const Weight& weight : a_.weights) {
      if (!weight.is_quantized()) continue;
      kinds[weight.scales] = ProblemKind::scales;
      kinds[weight.stored] = ProblemKind::codes;  // which GGUF has in the same tensor
    }
    return kinds;
  }

  void compare_metadata() {
    const std::vector<TensorFilePtr>&a = a_.files.files, &b = b_.files.files;
    for (const TensorFilePtr& file : a) {
      const std::string name = file->map.path().filename().native();
      for (const TensorFilePtr& other : b) {
        const bool same = name == other->map.path().filename().native();
        if (same || (a.size() == 1 && b.size() == 1))
          diff_metadata(name, file->metadata, other->metadata, report_.differences);
      }
    }
  }

  const Checkpoint& a_;
  const Checkpoint& b_;
  DiffReport& report_;
  FileNames file_;
  std::vector<StoredPair> pairs_;
  std::set<std::string> changed_;  ///< files with other tensors in A than in B
};

/// Everything about what the weights are worth.
class ByValues {
 public:
  ByValues(const Checkpoint& a, const Checkpoint& b, DiffReport& report) : a_(a), b_(b), report_(report) {}

  void run(Pass& pass) {
    const Matched matched = match_weights(a_, b_);
    for (const Operand& gone : matched.only_a) {
      add(ProblemKind::missing, gone, "{}: weight '{}' stands in A only", gone.file(), gone.name());
    }
    for (const Operand& more : matched.only_b) {
      add(ProblemKind::extra, more, "{}: weight '{}' stands in B only", more.file(), more.name());
    }
    std::vector<Comparison> comparisons;
    std::vector<StoredPair> others;  // that are no numbers of kinds that are read
    for (const Matched::Pair& pair : matched.pairs) {
      if (!alike(pair)) continue;
      ++report_.compared;
      report_.bytes += pair.a.bytes();
      pass.expect(pair.a.bytes());
      if (pair.a.numeric()) {
        comparisons.emplace_back(pair);
      } else {
        const StoredTensor &a = *pair.a.weight().stored, &b = *pair.b.weight().stored;
        others.push_back({&a, &b, map_of(a_.files, a), map_of(b_.files, b), {}});
      }
    }
    run_comparisons(comparisons, pass);
    compare_bytes(others, pass);
    for (const Comparison& comparison : comparisons) judge(comparison);
    for (const StoredPair& pair : others) {
      if (pair.different.count == 0) continue;
      mxfp4::report(&report_.differences, ProblemKind::values, pair.a->name, "{}: tensor '{}' {}",
                    a_.files.file_of(*pair.a), pair.a->name, pair.text());
    }
  }

 private:
  template <class... Args>
  void add(ProblemKind kind, const Operand& operand, fmt::format_string<Args...> format, Args&&... args) {
    mxfp4::report(&report_.differences, kind, operand.name(), format, std::forward<Args>(args)...);
  }

  bool alike(const Matched::Pair& pair) {
    const Dtype a = pair.a.weight().stored->dtype, b = pair.b.weight().stored->dtype;
    if (pair.a.shape() != pair.b.shape()) {
      add(ProblemKind::shape, pair.a, "{}: weight '{}' has shape {} in A, {} in B", pair.a.file(),
          pair.a.name(), to_string(pair.a.shape()), to_string(pair.b.shape()));
      return false;
    }
    if ((pair.a.numeric() && pair.b.numeric()) || (a == b && !pair.a.numeric() && !pair.b.numeric()))
      return true;
    add(ProblemKind::dtype, pair.a, "{}: weight '{}' is {} in A, {} in B", pair.a.file(), pair.a.name(),
        to_string(a), to_string(b));
    return false;
  }

  void judge(const Comparison& comparison) {
    const Distance total = comparison.total();
    if (total.different == 0) return;
    const Operand& weight = comparison.pair().a;
    const Element first = comparison.first_different();
    add(ProblemKind::values, weight,
        "{}: weight '{}' {}: {} in A, {} in B; {} of {} elements differ, by {} at most", weight.file(),
        weight.name(), place(first.number, weight.shape()), number_text(first.a), number_text(first.b),
        total.different, element_count(weight.shape()), number_text(total.largest));
  }

  const Checkpoint& a_;
  const Checkpoint& b_;
  DiffReport& report_;
};

// A config in the terms of another: gpt-oss's original release has its own.
std::string config_like(const std::string& text, const std::string& other) {
  if (text.empty() || other.empty() || !is_openai_config(parse_json(other, "config.json"))) return text;
  return find_convention("openai")->texts({text, {}}).at("config.json");
}

// Of a tensor that stands twice only one could be compared.
void check_names(const ModelFiles& files) {
  for (const TensorFilePtr& file : files.files) {
    for (const StoredTensor& tensor : file->tensors) {
      const StoredTensor& first = *files.find(tensor.name);
      if (&first == &tensor) continue;
      fail(ErrorCode::corrupt_file, "{}: tensor '{}' stands in {} and in {}", files.path.native(),
           tensor.name, files.file_of(first), files.file_of(tensor));
    }
  }
}

}  // namespace

DiffReport run_diff(const DiffRequest& request) {
  const auto start = std::chrono::steady_clock::now();
  // By bytes, whatever has one name is compared; what it means must be clear only to compare values.
  Problems not_asked_for;
  Problems* const problems = request.values ? nullptr : &not_asked_for;
  const Checkpoint a = open_checkpoint(request.a, "", problems), b = open_checkpoint(request.b, "", problems);
  DiffReport report;
  Pass pass(request.threads, request.progress, request.stop);
  if (request.values) {
    check_readable(a);
    check_readable(b);
    ByValues(a, b, report).run(pass);
  } else {
    check_names(a.files);
    check_names(b.files);
    ByBytes(a, b, report).run(pass);
  }
  check_unchanged(a.files);
  check_unchanged(b.files);
  if (a.files.is_directory && b.files.is_directory) {
    const bool values = request.values;
    diff_configs(values ? config_like(a.files.config, b.files.config) : a.files.config,
                 values ? config_like(b.files.config, a.files.config) : b.files.config, !values,
                 report.differences);
  }
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

}  // namespace mxfp4::job
