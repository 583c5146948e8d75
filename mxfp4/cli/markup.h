// Pieces of HTML and SVG.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace mxfp4::cli {

/// Any bytes as text of a page or of a quoted attribute: markup is escaped, what is no character is shown
/// as U+FFFD.
std::string escape(std::string_view text);

/// A line of coloured cells, as wide as its place.
struct StripCell {
  double shade = 0;   ///< 0..1, how dark
  std::string fill;   ///< a colour, or empty: the page's own at that shade
  std::string title;  ///< shown when pointed at
  bool empty = false;
};
std::string strip_svg(const std::vector<StripCell>& cells, std::string_view label);

/// Upright bars from the bottom, as wide as their place.
struct Bar {
  double height = 0;  ///< 0..1; what is above 0 is always seen
  std::string title;
  bool bad = false;
};
std::string columns_svg(const std::vector<Bar>& bars, std::string_view label);

/// A range with a mark in it, all in 0..1.
std::string range_svg(double first, double last, double mark, double reference, std::string_view label);

/// Words under a chart, each at its place in 0..1.
struct Tick {
  double at = 0;
  std::string text;
};
std::string axis(const std::vector<Tick>& ticks);

}  // namespace mxfp4::cli
