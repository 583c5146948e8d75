#include "mxfp4/cli/progress_bar.h"

#include <algorithm>

#include <fmt/format.h>

#include "mxfp4/cli/text.h"

namespace mxfp4::cli {
namespace {

constexpr std::chrono::milliseconds kBarPause{100};
constexpr std::chrono::seconds kLinePause{5};
constexpr int kWidestBar = 50;
constexpr double kTelling = 0.01;  // the share from which on the rate tells how long the rest takes

}  // namespace

std::string progress_line(std::uint64_t done, std::uint64_t total, double seconds, const Screen& bar_screen) {
  const double share = total == 0 ? 1 : static_cast<double>(done) / static_cast<double>(total);
  const double rate = seconds > 0 ? static_cast<double>(done) / seconds : 0;
  const std::string left =
      rate > 0 && share >= kTelling
          ? "  " + format_clock(static_cast<double>(total - std::min(done, total)) / rate) + " left"
          : "";
  const std::string before = fmt::format("{:3.0f} %", 100 * share);
  const std::string after = fmt::format("{} of {}  {}/s{}", format_bytes(static_cast<double>(done)),
                                        format_bytes(static_cast<double>(total)), format_bytes(rate), left);
  if (bar_screen.width == 0) return before + "  " + after;
  // One column stays free: some terminals wrap a full line.
  const int room = std::min(bar_screen.width - 1 - columns(before) - columns(after) - 4, kWidestBar);
  if (room < 5) return shorten(before + "  " + after, bar_screen.width - 1, bar_screen.utf8);
  const int filled = static_cast<int>(share * room);
  std::string bar, rest;
  for (int column = 0; column < room; ++column) {
    (column < filled ? bar : rest) += bar_screen.utf8   ? column < filled ? "\u2588" : "\u2591"
                                      : column < filled ? "#"
                                                        : "-";
  }
  return before + "  " + bar_screen.paint(Ink::bar, bar) + bar_screen.paint(Ink::faint, rest) + "  " + after;
}

void ProgressBar::advance(std::uint64_t done, std::uint64_t total) {
  if (console_.quiet) return;
  const Clock::time_point now = Clock::now();
  const bool terminal = console_.err.terminal;
  if (now - shown_ < (terminal ? Clock::duration(kBarPause) : Clock::duration(kLinePause))) return;
  shown_ = now;
  const double seconds = std::chrono::duration<double>(now - start_).count();
  const std::string line = progress_line(done, total, seconds, console_.err);
  console_.note(terminal ? "\r" + line + "\x1b[K" : line + "\n");
  on_screen_ = terminal;
}

void ProgressBar::warn(const std::string& message) {
  wipe();
  console_.warn(message);
}

void ProgressBar::wipe() {
  if (on_screen_) console_.note("\r\x1b[K");
  on_screen_ = false;
}

}  // namespace mxfp4::cli
