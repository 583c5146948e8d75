#include <algorithm>

#include "mxfp4/checkpoint/json_internal.h"
#include "mxfp4/checkpoint/report_internal.h"
#include "mxfp4/job/config_diff_internal.h"

namespace mxfp4::job {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kStorage[] = {"quantization_config", "quantization", "compression_config", "dtype",
                                         "torch_dtype",         "expert_dtype"};

std::string text_of(const Json* value) {
  return value == nullptr ? "absent" : shown(*value);
}

const Json* member(const Json& object, const std::string& key) {
  const auto found = object.find(key);
  return found == object.end() ? nullptr : &*found;
}

/// Objects are compared member by member, everything else whole.
class Walk {
 public:
  Walk(std::string where, bool storage, Problems& differences)
      : where_(std::move(where)), storage_(storage), differences_(differences) {}

  void objects(const std::string& path, const Json& a, const Json& b) {
    Json keys = a;
    keys.update(b);
    for (const auto& [key, ignored] : keys.items()) {
      const bool about_storage =
          std::find(std::begin(kStorage), std::end(kStorage), key) != std::end(kStorage);
      if (!storage_ && about_storage) continue;
      values(path.empty() ? key : path + "." + key, member(a, key), member(b, key));
    }
  }

 private:
  void values(const std::string& path, const Json* a, const Json* b) {
    if (a != nullptr && b != nullptr && a->is_object() && b->is_object()) return objects(path, *a, *b);
    if (a != nullptr && b != nullptr && *a == *b) return;
    report(&differences_, ProblemKind::config, "", "{}: '{}' is {} in A, {} in B", where_, path, text_of(a),
           text_of(b));
  }

  std::string where_;
  bool storage_;
  Problems& differences_;
};

Json object_of(std::string_view text) {
  Json config = text.empty() ? Json::object() : parse_json(text, "config.json");
  if (!config.is_object()) fail(ErrorCode::corrupt_file, "config.json: is not a JSON object");
  return config;
}

}  // namespace

void diff_configs(std::string_view a, std::string_view b, bool storage, Problems& differences) {
  if (a.empty() != b.empty()) {
    report(&differences, ProblemKind::config, "", "config.json stands in {} only", a.empty() ? "B" : "A");
    return;
  }
  Walk("config.json", storage, differences).objects("", object_of(a), object_of(b));
}

void diff_metadata(const std::string& file, const std::map<std::string, std::string>& a,
                   const std::map<std::string, std::string>& b, Problems& differences) {
  Walk(file + ": metadata", true, differences).objects("", Json(a), Json(b));
}

}  // namespace mxfp4::job
