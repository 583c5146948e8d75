// Numbers and names for people.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mxfp4::cli {

std::string format_bytes(double bytes);                          ///< "13.8 GB", powers of 1000
std::string format_count(std::uint64_t count);                   ///< "597,196,800"
std::string format_seconds(double seconds);                      ///< "0.42 s", "2 min 05 s"
std::string format_clock(double seconds);                        ///< "0:07", "1:02:03"
std::string format_percent(double part, double whole);           ///< "85.7 %", "< 0.01 %"
std::string format_decibels(double value);                       ///< "19.05 dB", "lossless"
std::string plural(std::uint64_t count, std::string_view noun);  ///< "1 tensor", "2,000 tensors"

/// Columns that UTF-8 text takes on a terminal, one per character.
int columns(std::string_view text) noexcept;

/// `text` in at most `width` columns: what lies in the middle gives way to an ellipsis.
std::string shorten(std::string_view text, int width, bool utf8);

/// Fills lines of at most `width` columns with words, each line behind `indent` spaces; ends in a newline.
std::string wrap(const std::vector<std::string>& words, int indent, int width);
/// The same for the words of a sentence.
std::string flow(std::string_view sentence, int indent, int width);

/// "512M", "1.5G", "4096": bytes, K, M and G being powers of 1024. Throws Error invalid_argument.
std::uint64_t parse_size(std::string_view text);

}  // namespace mxfp4::cli
