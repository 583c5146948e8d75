#include "mxfp4/cli/chart.h"

#include <algorithm>
#include <numeric>

#include <fmt/format.h>

#include "mxfp4/cli/text.h"
#include "mxfp4/codec/e8m0.h"

namespace mxfp4::cli {
namespace {

constexpr int kMostLines = 16;
constexpr int kLabels = 30;  // columns beside the bars

// A bar of `length` eighths of a column.
std::string bar(int eighths, bool utf8) {
  constexpr const char* kEighths[] = {"",       "\u258f", "\u258e", "\u258d",
                                      "\u258c", "\u258b", "\u258a", "\u2589"};
  std::string text;
  for (int column = 0; column < eighths / 8; ++column) text += utf8 ? "\u2588" : "#";
  return text + (utf8 ? kEighths[eighths % 8] : eighths % 8 >= 4 ? "#" : "");
}

std::string scale_name(int first, int last) {
  if (first == kE8m0Nan) return "NaN";
  return first == last
             ? fmt::format("2^{}", first - kE8m0Bias)
             : fmt::format("2^{}..{}", first - kE8m0Bias, std::min<int>(last, kE8m0Nan - 1) - kE8m0Bias);
}

}  // namespace

std::string scale_chart(std::span<const std::uint64_t, 256> counts, const Screen& screen, int indent) {
  const auto used = [](std::uint64_t count) { return count > 0; };
  const auto first_used = std::find_if(counts.begin(), counts.end(), used);
  if (first_used == counts.end()) return "";
  const int first = static_cast<int>(first_used - counts.begin());
  const int last =
      255 - static_cast<int>(std::find_if(counts.rbegin(), counts.rend(), used) - counts.rbegin());
  const int step = (last - first) / kMostLines + 1;
  struct Bucket {
    int first, last;
    std::uint64_t count;
  };
  std::vector<Bucket> buckets;
  for (int byte = first; byte <= last; byte += step) {
    const int until = std::min(byte + step - 1, last);
    buckets.push_back(
        {byte, until, std::accumulate(counts.begin() + byte, counts.begin() + until + 1, std::uint64_t{0})});
  }
  const std::uint64_t total = std::accumulate(counts.begin(), counts.end(), std::uint64_t{0});
  const std::uint64_t most =
      std::max_element(buckets.begin(), buckets.end(), [](const Bucket& a, const Bucket& b) {
        return a.count < b.count;
      })->count;
  const int width = std::clamp(screen.prose_width() - indent - kLabels, 10, 60);
  std::string text;
  for (const Bucket& bucket : buckets) {
    const auto eighths =
        static_cast<int>(8.0 * width * static_cast<double>(bucket.count) / static_cast<double>(most));
    const std::string shape = bar(bucket.count > 0 ? std::max(eighths, 1) : 0, screen.utf8);
    const std::string bytes = bucket.first == bucket.last ? std::to_string(bucket.first)
                                                          : fmt::format("{}..{}", bucket.first, bucket.last);
    text += fmt::format("{:{}}{:<10} {:<8} {:>9} {}", "", indent, scale_name(bucket.first, bucket.last),
                        bytes, format_percent(static_cast<double>(bucket.count), static_cast<double>(total)),
                        screen.paint(Ink::bar, shape));
    text.erase(text.find_last_not_of(' ') + 1);
    text += '\n';
  }
  return text;
}

}  // namespace mxfp4::cli
