#include "mxfp4/cli/markup.h"

#include <algorithm>
#include <cstdint>

#include <fmt/format.h>

namespace mxfp4::cli {
namespace {

constexpr const char* kReplacement = "\xEF\xBF\xBD";

/// What stands at a place of a text.
struct Character {
  std::size_t bytes = 1;
  bool shown = false;  ///< it is one of UTF-8, and no control
};

Character character(std::string_view text, std::size_t at) noexcept {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned first = byte(at);
  if (first < 0x80) return {1, first >= 0x20 && first != 0x7F};
  const std::size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || at + length > text.size()) return {};
  std::uint32_t code = first & (0xFFu >> (length + 1));
  for (std::size_t i = at + 1; i < at + length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return {};
    code = code << 6 | (byte(i) & 0x3F);
  }
  constexpr std::uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  if (code < kLeast[length] || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) return {};
  // Marks that turn the direction of what follows them, and codes that are no character.
  const bool turns = (code >= 0x202A && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069);
  const bool none = (code & 0xFFFE) == 0xFFFE || (code >= 0xFDD0 && code <= 0xFDEF);
  return {length, code >= 0xA0 && !turns && !none};
}

std::string svg(double width, std::string_view kind, std::string_view label, const std::string& content) {
  return fmt::format(
      "<svg class=\"{}\" viewBox=\"0 0 {} 100\" preserveAspectRatio=\"none\" role=\"img\" "
      "aria-label=\"{}\">{}</svg>",
      kind, width, escape(label), content);
}

std::string title_of(const std::string& text) {
  return text.empty() ? "" : fmt::format("<title>{}</title>", escape(text));
}

}  // namespace

std::string escape(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    const Character next = character(text, i);
    const std::string_view piece = text.substr(i, next.bytes);
    i += next.bytes;
    if (!next.shown) {
      out += kReplacement;
    } else if (piece == "&") {
      out += "&amp;";
    } else if (piece == "<") {
      out += "&lt;";
    } else if (piece == ">") {
      out += "&gt;";
    } else if (piece == "\"") {
      out += "&quot;";
    } else if (piece == "'") {
      out += "&#39;";
    } else {
      out += piece;
    }
  }
  return out;
}

std::string strip_svg(const std::vector<StripCell>& cells, std::string_view label) {
  std::string content;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    const StripCell& cell = cells[i];
    const std::string paint = cell.empty ? " class=\"none\""
                              : !cell.fill.empty()
                                  ? fmt::format(" fill=\"{}\"", cell.fill)
                                  : fmt::format(" class=\"shade\" fill-opacity=\"{:.3f}\"", cell.shade);
    content += fmt::format("<rect x=\"{}\" width=\"10\" height=\"100\"{}>{}</rect>", 10 * i, paint,
                           title_of(cell.title));
  }
  constexpr std::size_t kMostApart = 40;  // of more, gaps would take what the narrowest strips have
  return svg(10.0 * static_cast<double>(std::max<std::size_t>(cells.size(), 1)),
             cells.size() > kMostApart ? "strip dense" : "strip", label, content);
}

std::string columns_svg(const std::vector<Bar>& bars, std::string_view label) {
  constexpr double kLeast = 1.2;
  std::string content;
  for (std::size_t i = 0; i < bars.size(); ++i) {
    const Bar& bar = bars[i];
    // The whole height can be pointed at.
    content += fmt::format("<g>{}<rect x=\"{}\" width=\"10\" height=\"100\" fill-opacity=\"0\"/>",
                           title_of(bar.title), 10 * i);
    if (bar.height > 0) {
      const double height = std::max(100 * bar.height, kLeast);
      content += fmt::format("<rect class=\"{}\" x=\"{}\" y=\"{:.2f}\" width=\"8\" height=\"{:.2f}\"/>",
                             bar.bad ? "bad" : "bar", 10 * i + 1, 100 - height, height);
    }
    content += "</g>";
  }
  return svg(10.0 * static_cast<double>(bars.size()), "columns", label, content);
}

std::string range_svg(double first, double last, double mark, double reference, std::string_view label) {
  const auto at = [](double place) { return 1000 * std::clamp(place, 0.0, 1.0); };
  return svg(1000, "range", label,
             fmt::format("<rect class=\"track\" y=\"49\" width=\"1000\" height=\"2\"/>"
                         "<rect class=\"reference\" x=\"{:.1f}\" width=\"2\" height=\"100\"/>"
                         "<rect class=\"spread\" x=\"{:.1f}\" y=\"38\" width=\"{:.1f}\" height=\"24\"/>"
                         "<rect class=\"mark\" x=\"{:.1f}\" y=\"12\" width=\"9\" height=\"76\"/>",
                         at(reference) - 1, at(first), std::max(at(last) - at(first), 2.0),
                         std::clamp(at(mark) - 4.5, 0.0, 991.0)));
}

std::string axis(const std::vector<Tick>& ticks) {
  std::string text;
  for (const Tick& tick : ticks)
    text += fmt::format("<span style=\"left:{:.2f}%\">{}</span>", 100 * tick.at, escape(tick.text));
  return fmt::format("<div class=\"axis\" aria-hidden=\"true\">{}</div>", text);
}

}  // namespace mxfp4::cli
