// SPDX-License-Identifier: MIT
#include "cli/options.h"

#include <algorithm>
#include <charconv>
#include <string>
#include <system_error>
#include <vector>

#include <boost/program_options/errors.hpp>
#include <boost/program_options/options_description.hpp>
#include <boost/program_options/parsers.hpp>
#include <boost/program_options/value_semantic.hpp>

#include "base/text.h"

namespace grab::cli {
namespace {

namespace po = boost::program_options;

constexpr const char* kTryHelp = "try grab --help";

tl::unexpected<Error> usage(std::string what, std::string hint = kTryHelp) {
  return fail(ErrorKind::kUsage, std::move(what), std::move(hint));
}

bool all_digits(std::string_view word) {
  return !word.empty() &&
         std::all_of(word.begin(), word.end(), [](char c) { return c >= '0' && c <= '9'; });
}

bool negative_number(std::string_view word) {
  return word.starts_with('-') && all_digits(word.substr(1));
}

Result<pid_t> parse_pid(std::string_view word) {
  if (negative_number(word))
    return usage(std::string(word) + " is not a process id: they begin at 1");
  if (!all_digits(word))
    return usage("\"" + printable(word) + "\" is not a process id: that is a decimal number");
  long number = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
  if (error != std::errc{} || number > kLargestPid) {
    return usage(std::string(word) + " is not a process id: the largest is " +
                 std::to_string(kLargestPid));
  }
  if (number == 0)
    return usage("0 is not a process id: they begin at 1");
  return static_cast<pid_t>(number);
}

// from_chars also takes "inf" and "nan"; the comparison is false for both.
Result<double> parse_timeout(std::string_view word) {
  double seconds = 0;
  const char* const last = word.data() + word.size();
  const auto [end, error] = std::from_chars(word.data(), last, seconds);
  if (error != std::errc{} || end != last || !(seconds > 0 && seconds <= kLongestTimeout)) {
    return usage("--timeout " + printable(word) +
                 " is not a time: that is a number of seconds, more than 0 and at most 86400");
  }
  return seconds;
}

po::options_description known_options() {
  po::options_description known;
  auto add = known.add_options();
  for (const char* flag :
       {"tree", "force", "force-stdio", "keep-session", "keep-stopped", "keep-job", "json",
        "dry-run,N", "verbose,v", "help,h", "version,V", "detached"})
    add(flag, "");
  add("timeout", po::value<std::string>(), "");
  return known;
}

// The Error of what Boost found fault with.
tl::unexpected<Error> syntax_error(const po::error_with_option_name& error) {
  const std::string option = printable(error.get_option_name());
  if (negative_number(option))
    return tl::unexpected(parse_pid(option).error());
  if (dynamic_cast<const po::unknown_option*>(&error) != nullptr)
    return usage("there is no option " + option);
  const auto* syntax = dynamic_cast<const po::invalid_command_line_syntax*>(&error);
  if (syntax != nullptr && syntax->kind() == po::invalid_syntax::extra_parameter)
    return usage("the option " + option + " takes no value");
  if (syntax != nullptr && (syntax->kind() == po::invalid_syntax::missing_parameter ||
                            syntax->kind() == po::invalid_syntax::empty_adjacent_parameter))
    return usage("the option " + option + " needs a value");
  return usage(printable(error.what()));
}

// A command line cut into options and other words, with nothing decided yet.
Result<std::vector<po::option>> split(int argc, const char* const* argv) {
  namespace style = po::command_line_style;
  const po::options_description known = known_options();
  try {
    return po::command_line_parser(std::vector<std::string>(argv + std::min(argc, 1), argv + argc))
        .options(known)
        // An abbreviation would change its meaning with the next option that is added.
        .style(style::unix_style & ~style::allow_guessing)
        .run()
        .options;
  } catch (const po::error_with_option_name& error) {
    return syntax_error(error);
  } catch (const po::error& error) {
    return usage(printable(error.what()));
  }
}

// The flags that only set something, by their long names.
bool set_flag(const std::string& name, Options& options) {
  const struct {
    std::string_view name;
    bool& flag;
  } flags[] = {
      {"tree", options.move.whole_tree},
      {"force", options.move.force},
      {"force-stdio", options.move.force_stdio},
      {"keep-session", options.move.keep_session},
      {"keep-stopped", options.move.keep_stopped},
      {"keep-job", options.move.keep_job},
      {"json", options.json},
      {"verbose", options.verbose},
  };
  for (const auto& known : flags) {
    if (known.name == name) {
      known.flag = true;
      return true;
    }
  }
  return false;
}

Status take_option(const po::option& option, Options& options) {
  const std::string& name = option.string_key;
  if (set_flag(name, options))
    return {};
  if (name == "timeout") {
    GRAB_TRY(options.move.timeout_s, parse_timeout(option.value.at(0)));
  } else if (name == "detached") {
    return usage("--detached comes with the relay that can be detached (a later release)",
                 "without it, grab shows the tree on this terminal");
  } else if (name == "help") {
    options.action = Action::kHelp;
  } else if (name == "version" && options.action != Action::kHelp) {
    options.action = Action::kVersion;
  } else if (name == "dry-run" && options.action == Action::kMove) {
    options.action = Action::kDryRun;
  }
  return {};
}

Status take_word(std::string_view word, Options& options) {
  GRAB_TRY(const pid_t pid, parse_pid(word));
  if (options.pid != 0) {
    return usage("more than one process id was given: " + std::to_string(options.pid) + " and " +
                     std::to_string(pid),
                 "one grab moves one tree; --tree takes in all that is below the process");
  }
  options.pid = pid;
  return {};
}

}  // namespace

Result<Options> parse_options(int argc, const char* const* argv) {
  GRAB_TRY(const std::vector<po::option> split_line, split(argc, argv));
  Options options;
  for (const po::option& option : split_line) {
    if (!option.string_key.empty()) {
      GRAB_CHECK(take_option(option, options));
      continue;
    }
    if (option.value != option.original_tokens)  // "--=3": an option without a name
      return usage("there is no option " + printable(option.original_tokens.at(0)));
    for (const std::string& word : option.value)
      GRAB_CHECK(take_word(word, options));
  }
  if (options.action == Action::kHelp || options.action == Action::kVersion)
    return options;
  if (options.pid == 0)
    return usage("no process id was given");
  if (options.json && options.action != Action::kDryRun)
    return usage("--json goes with --dry-run: it is the plan that is printed as JSON");
  return options;
}

bool wants_json(int argc, const char* const* argv) {
  const std::vector<std::string_view> words(argv, argv + argc);
  const auto end = std::find(words.begin(), words.end(), "--");
  return std::find(words.begin(), end, "--json") != end;
}

std::string_view help_text() {
  return R"(usage: grab [OPTION]... PID

Moves a running process from the terminal that it was started on to this one.
It lives on with its process id; nothing is restarted and no output is lost.

  PID              one process; refused if others on its terminal belong to it
  --tree PID       the process and all below it, and the rest of its pipeline

  -N, --dry-run    print what would be done to which process; change nothing
      --json       with --dry-run: print it for programs
      --timeout S  give up, with nothing changed, when the tree is not frozen
                   after S seconds (2)
      --force      try in spite of a seccomp filter
      --force-stdio
                   move the descriptors 0-2 though no terminal is there
      --keep-session
                   leave every process in its session, with no controlling
                   terminal; grab passes the signals of the keyboard on
      --keep-stopped
                   leave a stopped job stopped
      --keep-job   do not tell the old shell that the job has gone
  -v, --verbose    say more: the plan before it is carried out; with --dry-run,
                   also the tree that is refused
  -h, --help       print this
  -V, --version    print the version

Exit status: that of the tree, where the kernel tells it; 2 for a wrong command
line, 124 timed out, 125 refused or failed, 126 no permission, 127 no such
process. From 124 to 127, nothing was changed. See grab(1).
)";
}

}  // namespace grab::cli
