#include "mxfp4/checkpoint/glob_internal.h"

namespace mxfp4 {
namespace {

constexpr std::size_t kNone = std::string_view::npos;

// The ] that ends the set beginning at glob[begin]; a ] directly after [ or [! is one of the set.
std::size_t end_of_set(std::string_view glob, std::size_t begin) {
  const std::size_t first = begin + (glob.substr(begin + 1, 1) == "!" ? 2 : 1);
  return glob.find(']', first + 1);
}

bool set_has(std::string_view set, char c) {
  const bool negated = set[0] == '!';
  if (negated) set.remove_prefix(1);
  for (std::size_t i = 0; i < set.size(); ++i) {
    const bool is_range = i + 2 < set.size() && set[i + 1] == '-';
    if (is_range ? set[i] <= c && c <= set[i + 2] : set[i] == c) return !negated;
    if (is_range) i += 2;
  }
  return negated;
}

}  // namespace

bool has_glob(std::string_view text) noexcept {
  return text.find_first_of("*?[") != kNone;
}

bool glob_matches(std::string_view glob, std::string_view text) noexcept {
  // After a mismatch only the last star needs another try: what stood before it has matched the earliest it
  // can.
  std::size_t g = 0, t = 0, star = kNone, star_text = 0;
  while (t < text.size()) {
    if (g < glob.size() && glob[g] == '*') {
      star = g++;
      star_text = t;
      continue;
    }
    const std::size_t end = g < glob.size() && glob[g] == '[' ? end_of_set(glob, g) : kNone;
    const bool matches = g < glob.size() && (end != kNone ? set_has(glob.substr(g + 1, end - g - 1), text[t])
                                                          : glob[g] == '?' || glob[g] == text[t]);
    if (matches) {
      g = end != kNone ? end + 1 : g + 1;
      ++t;
    } else if (star != kNone) {
      g = star + 1;
      t = ++star_text;
    } else {
      return false;
    }
  }
  return glob.find_first_not_of('*', g) == kNone;
}

}  // namespace mxfp4
