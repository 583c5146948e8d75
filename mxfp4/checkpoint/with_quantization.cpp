#include <algorithm>
#include <vector>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/checkpoint/config.h"
#include "mxfp4/checkpoint/json_internal.h"

namespace mxfp4 {
namespace {

// A member of a JSON object as its text has it: rewriting the text instead of a parsed value keeps every
// number, and the NaN and Infinity that Python writes, as they stood.
struct Member {
  std::string key;   // with its quotes and escapes
  std::string name;  // without
  std::string value;
};

Member make_member(std::string_view key, std::string_view value) {
  return {std::string(key), nlohmann::json::parse(key).get<std::string>(), std::string(value)};
}

constexpr std::size_t kMaxIndent = 16;

struct Object {
  std::vector<Member> members;
  std::string indent = "  ";
};

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const std::size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return "";
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

// Takes apart an object that a parser has accepted.
Object take_apart(std::string_view text) {
  Object object;
  text = text.substr(text.find('{') + 1);
  text = text.substr(0, text.rfind('}'));
  const std::size_t first = text.find('"');
  const std::size_t line = text.substr(0, first).rfind('\n');
  if (first != std::string_view::npos && line != std::string_view::npos && first - line <= kMaxIndent) {
    object.indent = text.substr(line + 1, first - line - 1);
  }
  std::size_t begin = 0, colon = 0;
  int depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i <= text.size(); ++i) {
    const char c = i < text.size() ? text[i] : ',';
    if (c == '"') in_string = !in_string;
    if (in_string) {
      if (c == '\\') ++i;
    } else if (c == '{' || c == '[') {
      ++depth;
    } else if (c == '}' || c == ']') {
      --depth;
    } else if (c == ':' && depth == 0) {
      colon = i;
    } else if (c == ',' && depth == 0 && colon > begin) {
      object.members.push_back(make_member(trimmed(text.substr(begin, colon - begin)),
                                           trimmed(text.substr(colon + 1, i - colon - 1))));
      begin = i + 1;
    }
  }
  return object;
}

// `end` is the indentation of the closing brace.
std::string put_together(const Object& object, std::string_view end) {
  std::string text = "{";
  for (const Member& member : object.members) {
    text += text.size() > 1 ? ",\n" : "\n";
    text += object.indent + member.key + ": " + member.value;
  }
  text += object.members.empty() ? "" : "\n" + std::string(end);
  return text + "}";
}

bool says_quantization(const Member& member) {
  return member.name == "quantization_config" || member.name == "quantization" ||
         member.name == "compression_config";
}

std::string pretty(std::string_view quantization, const std::string& indent) {
  nlohmann::ordered_json value = nlohmann::ordered_json::parse(quantization, nullptr, false);
  if (!value.is_object()) fail(ErrorCode::invalid_argument, "not a JSON object: {}", quantization);
  const bool tabs = indent.find('\t') != std::string::npos;
  std::string text;
  for (const char c : value.dump(static_cast<int>(indent.size()), tabs ? '\t' : ' ')) {
    text += c;
    if (c == '\n') text += indent;
  }
  return text;
}

// A JSON object, taken apart; an empty text is one without members.
Object read_object(std::string_view text) {
  if (text.empty()) text = "{}";
  if (!parse_json(text, "config.json").is_object()) {
    fail(ErrorCode::corrupt_file, "config.json: is not a JSON object");
  }
  return take_apart(text);
}

const char* torch_name(Dtype dtype) {
  switch (dtype) {
    case Dtype::f32:
      return "\"float32\"";
    case Dtype::bf16:
      return "\"bfloat16\"";
    case Dtype::f16:
      return "\"float16\"";
    default:
      fail(ErrorCode::invalid_argument, "a model's dtype cannot be {}", to_string(dtype));
  }
}

}  // namespace

std::string with_quantization(std::string_view text, std::string_view quantization,
                              std::optional<Dtype> dtype) {
  Object config = read_object(text);
  std::vector<Member>& members = config.members;

  const auto old = std::find_if(members.begin(), members.end(), says_quantization);
  auto place = old - members.begin();
  std::erase_if(members, says_quantization);
  if (!quantization.empty()) {
    members.insert(members.begin() + place,
                   make_member("\"quantization_config\"", pretty(quantization, config.indent)));
  }
  for (Member& member : members) {
    if (member.name != "text_config" || member.value[0] != '{') continue;
    Object nested = take_apart(member.value);
    if (std::erase_if(nested.members, says_quantization) > 0)
      member.value = put_together(nested, config.indent);
  }
  if (dtype) {
    const char* const name = torch_name(*dtype);
    const auto says_dtype = [](const Member& member) {
      return member.name == "dtype" || member.name == "torch_dtype";
    };
    const auto found = std::find_if(members.begin(), members.end(), says_dtype);
    if (found != members.end()) {
      found->value = name;
    } else {
      members.push_back(make_member("\"dtype\"", name));
    }
  }
  return put_together(config, "") + "\n";
}

std::string with_member(std::string_view text, std::string_view name, std::string_view value) {
  Object config = read_object(text);
  std::vector<Member>& members = config.members;
  const auto found =
      std::find_if(members.begin(), members.end(), [&](const Member& member) { return member.name == name; });
  if (value.empty()) {
    if (found != members.end()) members.erase(found);
  } else {
    const std::string shown_value = value[0] == '{' ? pretty(value, config.indent) : std::string(value);
    if (found != members.end()) {
      found->value = shown_value;
    } else {
      members.push_back(make_member(nlohmann::json(name).dump(), shown_value));
    }
  }
  return put_together(config, "") + "\n";
}

}  // namespace mxfp4
