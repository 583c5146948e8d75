#include <algorithm>

#include "mxfp4/checkpoint/model_files.h"

namespace mxfp4 {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// Cuts the run of digits off the front of `text` and returns it without leading zeros.
std::string_view take_number(std::string_view& text) {
  std::size_t end = 0, zeros = 0;
  while (end < text.size() && is_digit(text[end])) ++end;
  while (zeros < end && text[zeros] == '0') ++zeros;
  const std::string_view number = text.substr(zeros, end - zeros);
  text.remove_prefix(end);
  return number;
}

}  // namespace

bool natural_less(std::string_view a, std::string_view b) noexcept {
  // What they begin with in common needs no look, but a number that it ends in belongs to what follows.
  std::size_t begin =
      static_cast<std::size_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
  while (begin > 0 && is_digit(a[begin - 1])) --begin;
  std::string_view rest_a = a.substr(begin), rest_b = b.substr(begin);
  while (!rest_a.empty() && !rest_b.empty()) {
    if (is_digit(rest_a[0]) && is_digit(rest_b[0])) {
      const std::string_view number_a = take_number(rest_a), number_b = take_number(rest_b);
      if (number_a.size() != number_b.size()) return number_a.size() < number_b.size();
      if (number_a != number_b) return number_a < number_b;
    } else {
      if (rest_a[0] != rest_b[0]) {
        return static_cast<unsigned char>(rest_a[0]) < static_cast<unsigned char>(rest_b[0]);
      }
      rest_a.remove_prefix(1);
      rest_b.remove_prefix(1);
    }
  }
  if (rest_a.empty() != rest_b.empty()) return rest_a.empty();
  return a < b;  // "01" and "1"
}

}  // namespace mxfp4
