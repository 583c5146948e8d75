#include "mxfp4/job/output.h"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace mxfp4::job {
namespace {

namespace fs = std::filesystem;

std::uint64_t bytes_of(const Part& part) {
  std::uint64_t bytes = 0;
  for (const safetensors::TensorSpec& spec : part.outputs) bytes += spec.bytes();
  return bytes;
}

}  // namespace

std::vector<safetensors::TensorSpec> specs_of(const Output& output, const std::vector<std::size_t>& parts) {
  std::vector<safetensors::TensorSpec> specs;
  for (const std::size_t part : parts) {
    specs.insert(specs.end(), output.parts[part].outputs.begin(), output.parts[part].outputs.end());
  }
  return specs;
}

std::string index_text(const Output& output, const ShardPlan& plan) {
  nlohmann::json map = nlohmann::json::object();
  std::uint64_t total = 0;
  for (std::size_t shard = 0; shard < plan.shards.size(); ++shard) {
    for (const safetensors::TensorSpec& spec : specs_of(output, plan.shards[shard])) {
      map[spec.name] = plan.names[shard];
      total += spec.bytes();
    }
  }
  nlohmann::json metadata = output.index_notes;
  metadata["total_size"] = total;
  return nlohmann::json{{"metadata", metadata}, {"weight_map", map}}.dump(2) + "\n";
}

fs::path followed(const fs::path& out) {
  const fs::path path = out.has_filename() ? out : out.parent_path();
  return fs::is_symlink(path) ? fs::canonical(path) : path;
}

FileFamily safetensors_family() {
  return {[](std::size_t number, std::size_t count) {
    return count == 1 ? "model.safetensors" : fmt::format("model-{:05}-of-{:05}.safetensors", number, count);
  }};
}

ShardPlan plan_shards(const Output& output, const fs::path& out, bool directory, std::uint64_t max_shard) {
  ShardPlan plan;
  for (std::size_t family = 0; family < output.families.size(); ++family) {
    const FileFamily& files = output.families[family];
    const bool cut = directory && !files.one_file;
    const std::size_t first = plan.shards.size();
    std::uint64_t size = 0;
    for (std::size_t part = 0; part < output.parts.size(); ++part) {
      if (output.parts[part].family != family) continue;
      const std::uint64_t bytes = bytes_of(output.parts[part]);
      if (plan.shards.size() == first ||
          (cut && size + bytes > std::min(max_shard, files.most) && size > 0)) {
        plan.shards.emplace_back();
        size = 0;
      }
      plan.shards.back().push_back(part);
      size += bytes;
    }
    if (plan.shards.empty() && family + 1 == output.families.size()) plan.shards.emplace_back();
    const std::size_t count = plan.shards.size() - first;
    for (std::size_t shard = 1; shard <= count; ++shard)
      plan.names.push_back(directory ? files.name(shard, count) : out.filename().native());
  }
  plan.indexed = directory && output.families.size() == 1 && plan.shards.size() > 1;
  for (const std::vector<std::size_t>& shard : plan.shards)
    plan.bytes += output.layout(specs_of(output, shard), output.metadata).size;
  if (directory) {
    if (plan.indexed) plan.bytes += index_text(output, plan).size();
    for (const auto& [name, text] : output.texts) plan.bytes += text.size();
    for (const fs::path& copy : output.copies) plan.bytes += fs::file_size(output.copy_from / copy);
  }
  return plan;
}

}  // namespace mxfp4::job
