#include "mxfp4/cli/console.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <system_error>

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "mxfp4/base/error.h"

namespace mxfp4::cli {
namespace {

constexpr int kDefaultWidth = 80;
constexpr int kMinWidth = 40;

std::string_view environment(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

bool locale_is_utf8() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {  // the first that is set decides
    std::string value(environment(name));
    if (value.empty()) continue;
    std::transform(value.begin(), value.end(), value.begin(),
                   [](unsigned char c) { return std::toupper(c); });
    return value.find("UTF-8") != std::string::npos || value.find("UTF8") != std::string::npos;
  }
  return false;
}

int terminal_width(int descriptor) {
  const int chosen = std::atoi(std::string(environment("COLUMNS")).c_str());
  if (chosen > 0) return std::max(chosen, kMinWidth);
  winsize size{};
  if (ioctl(descriptor, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return kDefaultWidth;
  return std::max<int>(size.ws_col, kMinWidth);
}

const char* escape_of(Ink ink) {
  switch (ink) {
    case Ink::plain:
      return "";
    case Ink::strong:
      return "\x1b[1m";
    case Ink::faint:
      return "\x1b[2m";
    case Ink::good:
      return "\x1b[32m";
    case Ink::bad:
      return "\x1b[1;31m";
    case Ink::bar:
      return "\x1b[36m";
  }
  return "";
}

void write_all(int descriptor, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = write(descriptor, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0 && errno == EPIPE) throw ClosedPipe{};
    if (written < 0) {
      throw Error(ErrorCode::io,
                  fmt::format("standard output: cannot write: {}", std::generic_category().message(errno)));
    }
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

}  // namespace

int Screen::prose_width() const noexcept {
  return width > 0 ? std::min(width, 120) : kDefaultWidth;
}

std::string Screen::paint(Ink ink, std::string_view text) const {
  if (!colours || ink == Ink::plain || text.empty()) return std::string(text);
  return fmt::format("{}{}\x1b[0m", escape_of(ink), text);
}

Screen screen_of(std::FILE* stream) {
  Screen screen;
  const int descriptor = fileno(stream);
  screen.terminal = isatty(descriptor) == 1;
  screen.colours = screen.terminal && environment("NO_COLOR").empty() && environment("TERM") != "dumb";
  screen.utf8 = locale_is_utf8();
  screen.width = screen.terminal ? terminal_width(descriptor) : 0;
  return screen;
}

Console::Console() : out(screen_of(stdout)), err(screen_of(stderr)) {}

void Console::print(std::string_view text) {
  if (!silent) write_all(STDOUT_FILENO, text);
}

void Console::print_json(const Json& result) {
  print(result.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

void Console::warn(std::string_view message) noexcept {
  note(err.paint(Ink::strong, "warning:") + " " + printable(message) + "\n");
}

void Console::error(std::string_view message) noexcept {
  note(err.paint(Ink::bad, "error:") + " " + printable(message) + "\n");
}

void Console::failure(ErrorCode code, const std::string& message) {
  error(message);  // first: what failed may be to print
  if (!json || code == ErrorCode::interrupted) return;
  print_json(Json{{"error", {{"code", to_string(code)}, {"message", message}}}});
}

void Console::note(std::string_view text) noexcept {
  if (silent) return;
  try {
    write_all(STDERR_FILENO, text);
  } catch (...) {
  }
}

std::string printable(std::string_view text) {
  std::string result;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\n') || byte == 0x7F) {
      result += fmt::format("\\x{:02x}", byte);
    } else {
      result += c;
    }
  }
  return result;
}

Json finite_or_null(double value) {
  return std::isfinite(value) ? Json(value) : Json(nullptr);
}

}  // namespace mxfp4::cli
