#include "mxfp4/cli/text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <sstream>

#include <fmt/format.h>

#include "mxfp4/base/error.h"

namespace mxfp4::cli {
namespace {

// First byte of a character: all but the continuations of UTF-8.
bool begins_character(char c) noexcept {
  return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
}

}  // namespace

std::string format_bytes(double bytes) {
  constexpr std::array kUnits = {"bytes", "kB", "MB", "GB", "TB", "PB"};
  std::size_t unit = 0;
  while (bytes >= 999.5 && unit + 1 < kUnits.size()) {
    bytes /= 1000;
    ++unit;
  }
  const int digits = unit == 0 || bytes >= 99.95 ? 0 : bytes >= 9.995 ? 1 : 2;
  return fmt::format("{:.{}f} {}", bytes, digits, kUnits[unit]);
}

std::string format_count(std::uint64_t count) {
  std::string digits = std::to_string(count);
  for (std::size_t from_end = 3; from_end < digits.size(); from_end += 4)
    digits.insert(digits.size() - from_end, 1, ',');
  return digits;
}

std::string format_seconds(double seconds) {
  if (seconds < 9.995) return fmt::format("{:.2f} s", seconds);
  if (seconds < 59.95) return fmt::format("{:.1f} s", seconds);
  const auto whole = static_cast<std::uint64_t>(seconds + 0.5);
  if (whole < 3600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  return fmt::format("{} h {:02} min", whole / 3600, whole % 3600 / 60);
}

std::string format_clock(double seconds) {
  const auto whole = static_cast<std::uint64_t>(std::clamp(seconds, 0.0, 359999.0) + 0.5);
  if (whole < 3600) return fmt::format("{}:{:02}", whole / 60, whole % 60);
  return fmt::format("{}:{:02}:{:02}", whole / 3600, whole % 3600 / 60, whole % 60);
}

std::string format_percent(double part, double whole) {
  if (!(whole > 0) || part == 0) return "0 %";
  const double percent = 100 * part / whole;
  if (part == whole) return "100 %";
  if (percent < 0.01) return "< 0.01 %";
  if (percent > 99.99) return "> 99.99 %";
  return fmt::format("{:.{}f} %", percent, percent < 9.995 ? 2 : 1);
}

std::string format_decibels(double value) {
  if (std::isnan(value)) return "-";
  return std::isinf(value) ? value > 0 ? "lossless" : "-inf" : fmt::format("{:.2f} dB", value);
}

std::string plural(std::uint64_t count, std::string_view noun) {
  return fmt::format("{} {}{}", format_count(count), noun, count == 1 ? "" : "s");
}

int columns(std::string_view text) noexcept {
  return static_cast<int>(std::count_if(text.begin(), text.end(), begins_character));
}

std::string shorten(std::string_view text, int width, bool utf8) {
  const int all = columns(text);
  if (all <= width) return std::string(text);
  const std::string_view ellipsis = utf8 ? "\u2026" : "..";
  const int kept = std::max(width - columns(ellipsis), 0);
  const int head = kept / 2, tail = kept - head;
  std::string result;
  int column = 0;  // of the character that a byte belongs to, from 1
  for (const char c : text) {
    column += begins_character(c);
    if (begins_character(c) && column == head + 1) result += ellipsis;
    if (column <= head || column > all - tail) result += c;
  }
  return result;
}

std::string wrap(const std::vector<std::string>& words, int indent, int width) {
  std::string text;
  int column = width;
  for (const std::string& word : words) {
    if (column + 1 + columns(word) > width) {
      if (!text.empty()) text += '\n';
      text.append(static_cast<std::size_t>(indent), ' ');
      column = indent;
    } else {
      text += ' ';
      ++column;
    }
    text += word;
    column += columns(word);
  }
  return text + "\n";
}

std::string flow(std::string_view sentence, int indent, int width) {
  std::istringstream stream{std::string(sentence)};
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  return wrap(words, indent, width);
}

std::uint64_t parse_size(std::string_view text) {
  double number = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  const std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  constexpr std::string_view kUnits = "KMG";
  const std::size_t power =
      unit.empty() ? std::string_view::npos : kUnits.find(static_cast<char>(std::toupper(unit[0])));
  const bool known = unit.empty() || (unit.size() == 1 && power != std::string_view::npos);
  if (error != std::errc() || !known) {
    throw Error(ErrorCode::invalid_argument, fmt::format("'{}' is no size such as 4096, 512M or 1.5G", text));
  }
  if (!unit.empty()) number = std::ldexp(number, 10 * static_cast<int>(power + 1));
  if (!(number >= 1 && number < 0x1p63)) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("'{}' is no size between 1 byte and 8 exabytes", text));
  }
  return static_cast<std::uint64_t>(number);
}

}  // namespace mxfp4::cli
