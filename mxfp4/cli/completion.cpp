#include <fmt/format.h>

#include "mxfp4/cli/options.h"
#include "mxfp4/cli/verb.h"

namespace mxfp4::cli {
namespace {

// The words that may follow a verb, from its own declarations.
std::string words_of(Verb& verb) {
  CLI::App app;
  verb.declare(app);
  std::string words = "--help --json --quiet";
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) {
      if (name != "help") words += " --" + name;
    }
  }
  return words;
}

std::string bash_script() {
  std::string names, cases;
  for (const VerbInfo& info : verbs()) {
    names += std::string(names.empty() ? "" : " ") + info.name;
    cases += fmt::format("    {}) words=\"{}\" ;;\n", info.name, words_of(*info.make()));
  }
  return fmt::format(R"(_mxfp4() {{
  local words
  COMPREPLY=()
  case "${{COMP_WORDS[1]}}" in
{}  esac
  [ "$COMP_CWORD" -eq 1 ] && words="{} --help --version"
  case "${{COMP_WORDS[COMP_CWORD]}}" in
    -*) ;;
    *) [ "$COMP_CWORD" -gt 1 ] && return ;;
  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "${{COMP_WORDS[COMP_CWORD]}}")
}}
complete -o default -F _mxfp4 mxfp4
)",
                     cases, names);
}

class Completion : public Verb {
 public:
  void declare(CLI::App& app) override {
    add_choice(app, "SHELL", shell_, {"bash"}, "SHELL", "The shell to complete in")->required();
    app.footer("  source <(mxfp4 completion bash)");
  }

  void run(Console& console) override {
    if (console.json) return console.print_json(Json{{"shell", shell_}, {"script", bash_script()}});
    console.print(bash_script());
  }

 private:
  std::string shell_;
};

}  // namespace

std::unique_ptr<Verb> make_completion() {
  return std::make_unique<Completion>();
}

}  // namespace mxfp4::cli
