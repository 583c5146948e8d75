#include <string>
#include <string_view>
#include <utility>

#include "mxfp4/python/arguments_internal.h"

namespace mxfp4::python {
namespace {

/// Options of the command line that messages of jobs name, and what they are here, if that is not the same
/// name.
constexpr std::pair<std::string_view, std::string_view> kOptions[] = {
    {"--exclude", {}},
    {"--format", {}},
    {"--from", "convention"},
    {"--imatrix", {}},
    {"--include", {}},
    {"--max-memory", {}},
    {"--max-shard", {}},
    {"--nonfinite", {}},
    {"--overwrite", "overwrite=True"},
    {"--reference", {}},
    {"--resume", "resume=True"},
    {"--tensor", "rules"},
};

std::string argument_of(std::string_view option, std::string_view called) {
  if (!called.empty()) return std::string(called);
  std::string name(option.substr(2));
  for (char& c : name) c = c == '-' ? '_' : c;
  return name;
}

/// Whether text[begin, end) is a word by itself: file names have such pieces, too.
bool stands_alone(std::string_view text, std::size_t begin, std::size_t end) {
  const auto ends_word = [](char c) { return c == ' ' || c == ':' || c == ';' || c == ','; };
  return (begin == 0 || text[begin - 1] == ' ') && (end == text.size() || ends_word(text[end]));
}

}  // namespace

std::string in_python(std::string message) {
  for (const auto& [option, called] : kOptions) {
    const std::string argument = argument_of(option, called);
    for (std::size_t at = message.find(option); at != std::string::npos; at = message.find(option, at)) {
      if (stands_alone(message, at, at + option.size())) message.replace(at, option.size(), argument);
      at += argument.size() < option.size() ? argument.size() : option.size();
    }
  }
  return message;
}

}  // namespace mxfp4::python
