#include "mxfp4/cli/collapse.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <map>
#include <set>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace mxfp4::cli {
namespace {

constexpr std::size_t kMostRanges = 6;

std::vector<std::string> split(const std::string& name) {
  std::vector<std::string> parts(1);
  for (const char c : name) {
    if (c == '.') {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

std::string join(const std::vector<std::string>& parts, std::size_t begin, std::size_t end) {
  std::string text;
  for (std::size_t i = begin; i < end; ++i) text += (i > begin ? "." : "") + parts[i];
  return text;
}

// Digits only, as one writes a number.
bool is_number(const std::string& part) {
  return !part.empty() && part.size() <= 9 && part.find_first_not_of("0123456789") == std::string::npos &&
         (part.size() == 1 || part[0] != '0');
}

bool varies(const std::string& part) {
  return is_number(part) || part.starts_with('{');
}

bool is_word(const std::string& part) {
  return !part.empty() && !varies(part);
}

// "7", "{0..23}", "{0,2..4}", or "{0..57: 29}" where that would grow long.
std::string numbers_text(const std::vector<std::string>& parts) {
  std::set<std::int64_t> values;
  for (const std::string& part : parts) {
    std::int64_t value = 0;
    std::from_chars(part.data(), part.data() + part.size(), value);
    values.insert(value);
  }
  if (values.size() == 1) return parts[0];
  std::string text;
  std::size_t ranges = 0;
  for (auto value = values.begin(); value != values.end(); ++ranges) {
    const std::int64_t first = *value;
    std::int64_t last = first;
    while (++value != values.end() && *value == last + 1) last = *value;
    text += fmt::format("{}{}", text.empty() ? "" : ",", first);
    if (last > first) text += fmt::format("{}{}", last == first + 1 ? "," : "..", last);
  }
  if (ranges > kMostRanges)
    text = fmt::format("{}..{}: {}", *values.begin(), *values.rbegin(), values.size());
  return "{" + text + "}";
}

// "norm", "{q_proj,k_proj}"
std::string words_text(const std::vector<std::string>& parts) {
  return parts.size() == 1 ? parts[0] : fmt::format("{{{}}}", fmt::join(parts, ","));
}

struct Entry {
  std::vector<std::string> parts;
  std::string kind;
  std::vector<std::size_t> members;
};

/// What two entries may differ in to become one, and how the one is written.
struct Difference {
  bool (*covers)(const std::string& part);
  std::string (*text)(const std::vector<std::string>& parts);
};
constexpr Difference kNumbers = {is_number, numbers_text};
constexpr Difference kWords = {is_word, words_text};

// Puts together the entries that differ in nothing but what stands at `position`.
std::vector<Entry> merge_at(const std::vector<Entry>& entries, std::size_t position,
                            const Difference& difference) {
  struct Group {
    Entry entry;
    std::vector<std::string> values;
  };
  std::map<std::string, std::size_t> index;
  std::vector<Group> groups;
  for (const Entry& entry : entries) {
    std::vector<std::string> others = entry.parts;
    const bool covered = position < others.size() && difference.covers(others[position]);
    if (covered) others[position] = "#";
    const std::string key = fmt::format("{}\n{}", join(others, 0, others.size()), entry.kind);
    const auto [found, added] = index.emplace(key, groups.size());
    if (added) groups.push_back({{entry.parts, entry.kind, {}}, {}});
    Group& group = groups[found->second];
    group.entry.members.insert(group.entry.members.end(), entry.members.begin(), entry.members.end());
    if (covered) group.values.push_back(entry.parts[position]);
  }
  std::vector<Entry> merged;
  for (Group& group : groups) {
    if (!group.values.empty()) group.entry.parts[position] = difference.text(group.values);
    merged.push_back(std::move(group.entry));
  }
  return merged;
}

// From the innermost part outwards: experts before layers.
void merge(std::vector<Entry>& entries, const Difference& difference) {
  std::size_t positions = 0;
  for (const Entry& entry : entries) positions = std::max(positions, entry.parts.size());
  for (std::size_t position = positions; position-- > 0;) {
    const auto covered = [&](const Entry& entry) {
      return position < entry.parts.size() && difference.covers(entry.parts[position]);
    };
    if (std::any_of(entries.begin(), entries.end(), covered))
      entries = merge_at(entries, position, difference);
  }
}

}  // namespace

std::vector<Line> collapse(std::span<const Listed> names, Siblings siblings) {
  std::vector<Entry> entries;
  for (std::size_t i = 0; i < names.size(); ++i)
    entries.push_back({split(names[i].name), names[i].kind, {i}});
  merge(entries, kNumbers);
  if (siblings == Siblings::together) merge(entries, kWords);

  std::vector<Line> lines;
  for (Entry& entry : entries) {
    const std::size_t count = entry.parts.size();
    std::size_t cut = count;
    while (cut > 0 && !varies(entry.parts[cut - 1])) --cut;
    if (cut == count) cut = 0;  // nothing would follow the head
    std::sort(entry.members.begin(), entry.members.end());
    lines.push_back({join(entry.parts, 0, count), std::move(entry.members), join(entry.parts, 0, cut),
                     join(entry.parts, cut, count)});
  }
  std::map<std::string, std::size_t> place;  // of a head: its first name's
  for (const Line& line : lines) {
    std::size_t& first = place.emplace(line.head, line.members[0]).first->second;
    first = std::min(first, line.members[0]);
  }
  const auto key = [&](const Line& line) {
    return std::pair(line.head.empty() ? line.members[0] : place.at(line.head), line.members[0]);
  };
  std::sort(lines.begin(), lines.end(), [&](const Line& a, const Line& b) { return key(a) < key(b); });
  return lines;
}

}  // namespace mxfp4::cli
