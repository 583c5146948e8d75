// The pages that --help shows.
#pragma once

#include <CLI/CLI.hpp>

#include "mxfp4/cli/console.h"

namespace mxfp4::cli {

/// Lays out help for a screen: what it does, usage, positionals, options by group, examples.
class HelpFormatter : public CLI::FormatterBase {
 public:
  explicit HelpFormatter(const Screen& screen) : screen_(screen) {}
  std::string make_help(const CLI::App* app, std::string name, CLI::AppFormatMode mode) const override;

 private:
  std::string entry(const std::string& left, const std::string& right) const;
  Screen screen_;
};

}  // namespace mxfp4::cli
