// Where the tool's words go: results to stdout, everything else to stderr.
#pragma once

#include <atomic>
#include <cstdio>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "mxfp4/base/error.h"

namespace mxfp4::cli {

/// JSON whose fields keep their order.
using Json = nlohmann::ordered_json;

/// What a piece of text means; its colour follows from that.
enum class Ink { plain, strong, faint, good, bad, bar };

/// What a stream can show.
struct Screen {
  bool terminal = false;
  bool colours = false;
  bool utf8 = false;
  int width = 0;  ///< columns of a terminal; 0: not a terminal, nothing needs to be made to fit

  /// Columns for charts and prose, which have no width of their own.
  int prose_width() const noexcept;
  /// `text` in the colour of `ink`, if there are colours.
  std::string paint(Ink ink, std::string_view text) const;
};

/// The screen behind a stream. Colours need a terminal other than "dumb" and an absent or empty NO_COLOR;
/// UTF-8 is what the locale's variables say; the width is the terminal's, or COLUMNS.
Screen screen_of(std::FILE* stream);

/// The reader of stdout has gone.
struct ClosedPipe {};

/// The tool's two streams under --json and --quiet.
class Console {
 public:
  Console();

  bool json = false;   ///< the result is one JSON object
  bool quiet = false;  ///< no result for people, no progress
  /// Nothing at all is written: another rank speaks for this one.
  std::atomic<bool> silent{false};
  const Screen out, err;

  /// Whether people read the result.
  bool for_people() const noexcept { return !json && !quiet; }

  /// Writes a result to stdout. Throws ClosedPipe, Error io.
  void print(std::string_view text);
  void print_json(const Json& result);

  /// Writes a line to stderr, "warning: ..." or "error: ..."; control characters in it are made visible.
  void warn(std::string_view message) noexcept;
  void error(std::string_view message) noexcept;
  /// Says why the tool ends: as an error and, with --json, also as an object, unless it was told to stop.
  /// Throws as print() does.
  void failure(ErrorCode code, const std::string& message);
  /// Writes to stderr as it is. Never fails: where nobody reads there is nobody to tell.
  void note(std::string_view text) noexcept;
};

/// `text` with control characters replaced, so that a name in a file cannot speak to the terminal.
std::string printable(std::string_view text);

/// `value`, or null where JSON has no number for it.
Json finite_or_null(double value);

}  // namespace mxfp4::cli
