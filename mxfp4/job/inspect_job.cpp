#include "mxfp4/job/inspect_job.h"

#include <algorithm>
#include <unordered_map>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/checkpoint/checkpoint.h"
#include "mxfp4/checkpoint/pattern.h"
#include "mxfp4/job/content_scan_internal.h"

namespace mxfp4::job {
namespace {

constexpr std::int64_t kChunk = 1 << 20;

/// The patterns of a request, each of which must name something.
class Filter {
 public:
  explicit Filter(const std::vector<std::string>& texts) {
    for (const std::string& text : texts) patterns_.push_back({Pattern(text), false});
  }

  /// Whether a tensor is listed. `weight` is the name of the weight it is a part of, or empty.
  bool accepts(std::string_view name, std::string_view weight) {
    bool accepted = patterns_.empty();
    for (auto& [pattern, matched] : patterns_) {
      if (!pattern.matches(name) && (weight.empty() || !pattern.matches(weight))) continue;
      accepted = matched = true;
    }
    return accepted;
  }

  void check_all_matched(const std::filesystem::path& path) const {
    for (const auto& [pattern, matched] : patterns_) {
      if (matched) continue;
      fail(ErrorCode::invalid_argument, "--tensors {}: no tensor of {} has such a name", pattern.text(),
           path.native());
    }
  }

 private:
  struct Entry {
    Pattern pattern;
    bool matched;
  };
  std::vector<Entry> patterns_;
};

void count_scales(const StoredBlocks& weight, ByteCounts& counts, const std::atomic<bool>* stop) {
  const std::int64_t all = weight.blocks();
  for (std::int64_t begin = 0; begin < all; begin += kChunk) {
    if (stop != nullptr && *stop) fail(ErrorCode::interrupted, "stopped");
    const std::int64_t end = std::min(begin + kChunk, all);
    for (std::int64_t block = begin; block < end; ++block)
      ++counts[weight.scales[block * weight.scale_pitch]];
  }
}

// As the file's own format calls it.
const char* type_of(const StoredTensor& tensor) {
  return tensor.type.empty() ? to_string(tensor.dtype) : tensor.type.data();
}

}  // namespace

InspectReport run_inspect(const InspectRequest& request) {
  const Checkpoint checkpoint = open_checkpoint(request.path);
  InspectReport report;
  report.container = checkpoint.files.container;
  report.convention = checkpoint.convention_name();
  report.readable = checkpoint.foreign.empty();

  std::unordered_map<const StoredTensor*, const Weight*> weight_of;
  for (const Weight& weight : checkpoint.weights) {
    for (const StoredTensor* stored : weight.tensors()) weight_of[stored] = &weight;
  }
  Filter filter(request.tensors);
  if (request.scales) report.scales.emplace();
  for (const StoredTensor* stored : checkpoint.files.tensors()) {
    const auto found = weight_of.find(stored);
    const Weight* const weight = found == weight_of.end() ? nullptr : found->second;
    if (!filter.accepts(stored->name, weight == nullptr ? std::string_view() : weight->name)) continue;
    // Of a type that is no dtype the shape is told in elements, where these are known.
    const bool in_elements = !stored->type.empty() && weight != nullptr;
    report.tensors.push_back({stored->name, type_of(*stored), in_elements ? weight->shape() : stored->shape,
                              stored->bytes.size(), checkpoint.files.file_of(*stored)});
    report.bytes += stored->bytes.size();
    if (weight == nullptr || stored != weight->scales) continue;
    ++report.quantized_weights;
    if (report.scales) count_scales(weight->quantized, *report.scales, request.stop);
  }
  filter.check_all_matched(request.path);
  for (const TensorFilePtr& file : checkpoint.files.files) {
    report.files.push_back(file->map.path().filename().native());
    if (!file->metadata.empty()) report.metadata[report.files.back()] = file->metadata;
  }
  return report;
}

}  // namespace mxfp4::job
