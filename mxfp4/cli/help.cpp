#include "mxfp4/cli/help.h"

#include <vector>

#include <fmt/format.h>

#include "mxfp4/cli/text.h"

namespace mxfp4::cli {
namespace {

constexpr int kIndent = 2;
constexpr int kLeft = 26;  // columns of names, behind which the descriptions begin

std::string spaces(int count) {
  return std::string(static_cast<std::size_t>(std::max(count, 0)), ' ');
}

std::string option_name(const CLI::Option& option) {
  std::string name;
  for (const std::string& flag : option.get_snames()) name += "-" + flag + ", ";
  for (const std::string& flag : option.get_lnames()) name += "--" + flag;
  return option.get_type_size() == 0 ? name : name + " " + option.get_type_name();
}

}  // namespace

std::string HelpFormatter::entry(const std::string& left, const std::string& right) const {
  const int width = screen_.prose_width();
  std::string text = spaces(kIndent) + left;
  int column = kIndent + columns(left);
  if (column + 2 > kLeft) {
    text += "\n";
    column = 0;
  }
  const std::string description = flow(right, kLeft, width);
  return text + description.substr(static_cast<std::size_t>(column));
}

std::string HelpFormatter::make_help(const CLI::App* app, std::string name, CLI::AppFormatMode) const {
  const auto title = [this](const std::string& text) {
    return "\n" + screen_.paint(Ink::strong, text) + "\n";
  };
  const auto positionals =
      app->get_options([](const CLI::Option* option) { return option->get_positional(); });
  const auto subcommands = app->get_subcommands([](const CLI::App*) { return true; });

  std::string text = app->get_description() + "\n" + title("Usage") + spaces(kIndent) + name;
  if (!subcommands.empty()) text += " VERB";
  for (const CLI::Option* option : positionals) text += " " + option->get_name(true, false);
  text += " [OPTIONS]\n";
  if (!positionals.empty()) text += "\n";
  for (const CLI::Option* option : positionals) {
    text += entry(option->get_name(true, false), option->get_description());
  }
  if (!subcommands.empty()) text += title("Verbs");
  for (const CLI::App* verb : subcommands) text += entry(verb->get_name(), verb->get_description());
  for (const std::string& group : app->get_groups()) {
    const auto options = app->get_options([&group](const CLI::Option* option) {
      return option->get_group() == group && !option->get_positional();
    });
    if (options.empty()) continue;
    text += title(group);
    for (const CLI::Option* option : options) text += entry(option_name(*option), option->get_description());
  }
  if (!app->get_footer().empty()) text += title("Examples") + app->get_footer() + "\n";
  return text;
}

}  // namespace mxfp4::cli
