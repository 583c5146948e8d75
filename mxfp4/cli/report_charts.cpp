#include "mxfp4/cli/report_charts.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>

#include <fmt/format.h>

#include "mxfp4/cli/markup.h"
#include "mxfp4/cli/text.h"
#include "mxfp4/codec/e8m0.h"

namespace mxfp4::cli {
namespace {

using job::WeightNumbers;

constexpr int kMostTicks = 7;

double share(std::uint64_t part, std::uint64_t whole) noexcept {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

std::uint64_t codes_of(const WeightNumbers& numbers) noexcept {
  return 32 * numbers.blocks();
}

/// A colour of an SQNR. The same decibels have the same colour in every report.
struct Stop {
  double decibels;
  int red, green, blue;
};
constexpr Stop kStops[] = {{10, 0x8f, 0x1d, 0x2c}, {12, 0xc9, 0x3f, 0x32}, {14, 0xe8, 0x84, 0x4a},
                           {16, 0xf1, 0xc4, 0x63}, {18, 0x8c, 0xc3, 0xa2}, {19, 0x3f, 0x9a, 0xa6},
                           {21, 0x2b, 0x6c, 0xb0}, {24, 0x2a, 0x4f, 0x94}};

std::string colour_of(double decibels) {
  const Stop* const last = std::end(kStops) - 1;
  if (!(decibels > kStops[0].decibels)) decibels = kStops[0].decibels;  // NaN, too
  decibels = std::min(decibels, last->decibels);
  const Stop* to = kStops + 1;
  while (to < last && to->decibels < decibels) ++to;
  const Stop& from = to[-1];
  const double way = (decibels - from.decibels) / (to->decibels - from.decibels);
  const auto mix = [&](int a, int b) { return static_cast<int>(std::lround(a + way * (b - a))); };
  return fmt::format("#{:02x}{:02x}{:02x}", mix(from.red, to->red), mix(from.green, to->green),
                     mix(from.blue, to->blue));
}

std::string layer_text(std::int64_t layer) {
  return layer == kNoLayer ? std::string("outside the layers") : fmt::format("layer {}", layer);
}

// At most kMostTicks of `count` numbered places, evenly, the first among them.
std::vector<Tick> ticks_of(std::size_t count, const std::function<std::string(std::size_t)>& text) {
  std::size_t step = 1;
  for (const std::size_t next : {1, 2, 4, 5, 8, 10, 16, 20, 32, 50, 100, 200, 500, 1000, 10000, 1000000}) {
    step = next;
    if (count / step < kMostTicks) break;
  }
  std::vector<Tick> ticks;
  for (std::size_t i = 0; i < count; i += step)
    ticks.push_back({(static_cast<double>(i) + 0.5) / static_cast<double>(count), text(i)});
  return ticks;
}

/// What a grid shows of each cell.
struct Measure {
  const char* what;
  std::function<StripCell(const WeightNumbers&)> cell;  ///< without a title
  std::function<std::string(const WeightNumbers&)> text;
  std::function<std::string(const Kind&)> summary;  ///< behind the row
};

std::string grid_chart(const LayerGrid& grid, const Measure& measure) {
  std::string out = "<div class=\"grid\">";
  for (const Kind& kind : grid.kinds) {
    std::vector<StripCell> cells;
    const auto add = [&](std::int64_t layer, const WeightNumbers& numbers) {
      StripCell cell = measure.cell(numbers);
      cell.title = fmt::format("{}, {}: {}", layer_text(layer), kind.label, measure.text(numbers));
      if (numbers.weights > 1) cell.title += fmt::format(" ({} weights)", numbers.weights);
      cells.push_back(std::move(cell));
    };
    if (const auto alone = kind.layers.find(kNoLayer); alone != kind.layers.end()) {
      add(kNoLayer, alone->second);
    } else {
      for (const std::int64_t layer : grid.layers) {
        const auto found = kind.layers.find(layer);
        if (found == kind.layers.end()) {
          cells.push_back({0, "", fmt::format("{} has no {} in MXFP4", layer_text(layer), kind.label), true});
        } else {
          add(layer, found->second);
        }
      }
    }
    const std::string summary = measure.summary(kind);
    out += fmt::format(
        "<span class=\"name\">{}</span><span class=\"number small\">{}</span><div class=\"chart\">{}</div>",
        escape(kind.label), summary,
        strip_svg(cells, fmt::format("{} of {} by layer: {}", measure.what, kind.label, summary)));
  }
  if (grid.layers.size() > 1) {
    out +=
        axis(ticks_of(grid.layers.size(), [&](std::size_t i) { return fmt::format("{}", grid.layers[i]); }));
  }
  return out + "</div>";
}

// "18.6 \u2013 19.1 dB", or one of the two if they read alike.
std::string range_text(double low, double high) {
  const auto text = [](double value) {
    return std::isinf(value) ? format_decibels(value) : fmt::format("{:.1f} dB", value);
  };
  const std::string from = text(low), to = text(high);
  if (from == to) return to;
  const bool both = std::isfinite(low) && std::isfinite(high);
  return fmt::format("{} \u2013 {}", both ? fmt::format("{:.1f}", low) : from, to);
}

using Count = std::uint64_t (WeightNumbers::*)() const noexcept;

// Shares of codes, from nothing to all of `full`.
std::string share_chart(const LayerGrid& grid, const char* what, Count count, double full) {
  const auto of = [count](const WeightNumbers& numbers) {
    return share((numbers.*count)(), codes_of(numbers));
  };
  const auto text = [of](const WeightNumbers& numbers) { return format_percent(of(numbers), 1); };
  return grid_chart(grid, {what,
                           [of, full](const WeightNumbers& numbers) {
                             return StripCell{0.06 + 0.94 * std::min(of(numbers) / full, 1.0), "", "", false};
                           },
                           text, [text](const Kind& kind) { return text(kind.total); }}) +
         fmt::format(
             "<div class=\"legend\"><span><i style=\"background:var(--accent);opacity:.06\"></i>none</span>"
             "<span><i style=\"background:var(--accent);opacity:.53\"></i>{:.0f} %</span>"
             "<span><i style=\"background:var(--accent)\"></i>{:.0f} % or more</span></div>",
             50 * full, 100 * full);
}

// "-7", the exponent that a scale byte stands for.
std::string exponent_text(std::size_t byte) {
  return byte == kE8m0Nan ? std::string("NaN") : std::to_string(static_cast<int>(byte) - kE8m0Bias);
}

// "2^-7"
std::string power_text(std::size_t byte) {
  return byte == kE8m0Nan ? std::string("NaN") : "2^" + exponent_text(byte);
}

}  // namespace

std::string error_chart(const LayerGrid& grid) {
  const Measure measure = {
      "SQNR",
      [](const WeightNumbers& numbers) {
        return numbers.compared ? StripCell{1, colour_of(numbers.error.sqnr_db()), "", false}
                                : StripCell{0, "", "", true};
      },
      [](const WeightNumbers& numbers) {
        return numbers.compared ? format_decibels(numbers.error.sqnr_db()) : "not compared";
      },
      [](const Kind& kind) {
        double low = INFINITY, high = -INFINITY;
        for (const auto& [layer, numbers] : kind.layers) {
          if (!numbers.compared) continue;
          low = std::min(low, numbers.error.sqnr_db());
          high = std::max(high, numbers.error.sqnr_db());
        }
        return high < low ? std::string("-") : range_text(low, high);
      }};
  std::string legend = "<div class=\"legend\">";
  for (const int decibels : {10, 12, 14, 16, 18, 19, 21}) {
    legend += fmt::format("<span><i style=\"background:{}\"></i>{}{}</span>", colour_of(decibels), decibels,
                          decibels == 10   ? " dB or less"
                          : decibels == 21 ? " dB"
                                           : "");
  }
  legend += fmt::format("<span><i style=\"background:{}\"></i>24 dB to lossless</span></div>", colour_of(24));
  return grid_chart(grid, measure) + legend;
}

std::string saturated_chart(const LayerGrid& grid) {
  return share_chart(grid, "Share of codes that are 6 or -6", &WeightNumbers::saturated, 0.2);
}

std::string zeros_chart(const LayerGrid& grid) {
  return share_chart(grid, "Share of codes that are zero", &WeightNumbers::zeros, 0.5);
}

std::string rules_chart(const ReportSummary& summary) {
  // Whole decibels around all that is finite.
  double low = INFINITY, high = -INFINITY;
  const auto widen = [&](const Spread& spread) {
    for (const double value : {spread.worst, spread.median, spread.best}) {
      if (!std::isfinite(value)) continue;
      low = std::min(low, std::floor(value));
      high = std::max(high, std::ceil(value));
    }
  };
  widen(summary.sample_db);
  for (const RuleResult& result : summary.rules) widen(result.sqnr_db);
  if (high < low) low = 0, high = 1;
  if (high == low) high += 1;
  const auto at = [&](double decibels) {
    return std::isnan(decibels) ? 0 : std::clamp((decibels - low) / (high - low), 0.0, 1.0);
  };
  const auto row = [&](const std::string& name, const Spread& spread, const std::string& extra,
                       const char* style) {
    const std::string label =
        fmt::format("{}: worst weight {}, median {}, best {}", name, format_decibels(spread.worst),
                    format_decibels(spread.median), format_decibels(spread.best));
    return fmt::format(
        "<span class=\"name {0}\">{1}</span><span class=\"number small {0}\">{2}</span>"
        "<span class=\"number small extra\">{3}</span><div class=\"chart\">{4}</div>",
        style, escape(name), format_decibels(spread.median), extra,
        range_svg(at(spread.worst), at(spread.best), at(spread.median), at(summary.sample_db.median), label));
  };
  std::string out =
      "<div class=\"grid rules\"><span class=\"name head\"></span><span class=\"number head\">median</span>"
      "<span class=\"number head extra\">same blocks as here</span><div class=\"chart head\"></div>";
  out += row("this model", summary.sample_db, "", "own");
  for (const RuleResult& result : summary.rules) {
    out += row(info(result.rule).name, result.sqnr_db,
               fmt::format("<span class=\"soft\">{}</span>",
                           format_percent(static_cast<double>(result.same_blocks),
                                          static_cast<double>(summary.total.trial.blocks))),
               "");
  }
  const auto whole = static_cast<std::size_t>(high - low);
  std::vector<Tick> ticks;
  const std::size_t step = whole / kMostTicks + 1;
  for (std::size_t i = 0; i <= whole; i += step) {
    ticks.push_back({static_cast<double>(i) / static_cast<double>(whole),
                     fmt::format("{:.0f}{}", low + static_cast<double>(i), i == 0 ? " dB" : "")});
  }
  return out + axis(ticks) + "</div>";
}

std::string scale_bytes_chart(const WeightNumbers& numbers) {
  std::vector<std::size_t> used;
  for (std::size_t byte = 0; byte <= kE8m0Nan; ++byte) {
    if (numbers.scales[byte] > 0) used.push_back(byte);
  }
  if (used.empty()) return "<p class=\"soft\">There is no block.</p>";
  // Words tell of blocks of zeros and of lost ones, whose bytes would press all others together.
  constexpr std::size_t kFar = 16;
  std::string beside;
  const auto tell = [&](std::size_t byte) {
    beside += fmt::format("<p class=\"soft\">Not drawn: {} with byte {} ({}).</p>",
                          plural(numbers.scales[byte], "block"), byte, power_text(byte));
    used.erase(std::find(used.begin(), used.end(), byte));
  };
  if (used.front() == 0 && used.size() > 1 && used[1] >= kFar) tell(0);
  if (used.back() == kE8m0Nan && used.size() > 1 && used[used.size() - 2] + kFar <= kE8m0Nan) tell(kE8m0Nan);
  const std::size_t first = used.front(), last = used.back();
  const auto most = std::max_element(numbers.scales.begin() + static_cast<std::ptrdiff_t>(first),
                                     numbers.scales.begin() + static_cast<std::ptrdiff_t>(last) + 1);
  std::vector<Bar> bars;
  for (std::size_t byte = first; byte <= last; ++byte) {
    const std::uint64_t count = numbers.scales[byte];
    bars.push_back({share(count, *most),
                    fmt::format("byte {} ({}): {}, {}", byte, power_text(byte), plural(count, "block"),
                                format_percent(share(count, numbers.blocks()), 1)),
                    byte == kE8m0Nan});
  }
  const auto mode = static_cast<std::size_t>(most - numbers.scales.begin());
  const std::string label =
      fmt::format("Scale bytes from {} ({}) to {} ({}); {} ({}) is the most frequent, {} of the blocks",
                  first, power_text(first), last, power_text(last), mode, power_text(mode),
                  format_percent(share(*most, numbers.blocks()), 1));
  return columns_svg(bars, label) +
         axis(ticks_of(bars.size(), [&](std::size_t i) { return exponent_text(first + i); })) + beside;
}

std::string codes_chart(const WeightNumbers& numbers) {
  // -6 .. -0.5, both zeros together, 0.5 .. 6
  constexpr std::array kValues = {"0", "0.5", "1", "1.5", "2", "3", "4", "6"};
  std::vector<Bar> bars;
  std::vector<std::string> names;
  std::uint64_t most = 1;
  for (std::size_t code = 1; code < 8; ++code)
    most = std::max({most, numbers.codes[code], numbers.codes[code + 8]});
  most = std::max(most, numbers.zeros());
  const auto add = [&](std::uint64_t count, const std::string& name, const std::string& more) {
    bars.push_back({share(count, most),
                    fmt::format("{}: {} codes, {}{}", name, format_count(count),
                                format_percent(share(count, codes_of(numbers)), 1), more),
                    false});
    names.push_back(name);
  };
  for (std::size_t code = 7; code > 0; --code)
    add(numbers.codes[code + 8], std::string("\u2212") + kValues[code], "");
  add(numbers.zeros(), "0", fmt::format("; {} of them are -0", format_count(numbers.codes[8])));
  for (std::size_t code = 1; code < 8; ++code) add(numbers.codes[code], kValues[code], "");
  std::vector<Tick> ticks;
  for (std::size_t i = 0; i < names.size(); ++i) {
    // 0.5 and 1.5 would stand too close on a phone.
    if (names[i].find(".5") == std::string::npos)
      ticks.push_back({(static_cast<double>(i) + 0.5) / static_cast<double>(names.size()), names[i]});
  }
  const auto percent = [&](std::uint64_t count) {
    return format_percent(share(count, codes_of(numbers)), 1);
  };
  return columns_svg(bars, fmt::format("Codes: {} are zero, {} are 6 or -6", percent(numbers.zeros()),
                                       percent(numbers.saturated()))) +
         axis(ticks);
}

}  // namespace mxfp4::cli
