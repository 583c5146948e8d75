// Globs over names with dots.
#pragma once

#include <string_view>

namespace mxfp4 {

/// Whether `text` has glob characters: * ? [
bool has_glob(std::string_view text) noexcept;

/// Whether a glob matches the whole of `text`: * is any run of characters, dots included, ? any one, [abc]
/// and [a-c] one of those, [!abc] any other. A [ that no ] follows is an ordinary character. Time is at most
/// the product of the lengths.
bool glob_matches(std::string_view glob, std::string_view text) noexcept;

}  // namespace mxfp4
