// SPDX-License-Identifier: MIT
#include "cli/options.h"

#include <algorithm>
#include <cctype>
#include <string>
#include <utility>

#include "base/text.h"
#include "cli/split.h"
#include "cli/words.h"

namespace grab::cli {
namespace {

using Words = std::vector<std::string>;

struct Command {
  Action action;
  Syntax syntax;
  Status (*take_words)(const Words& words, Options& options);
};

bool is_command(std::string_view word);

// ---- the words that are no options

Status take_pid(const Words& words, Options& options) {
  if (words.empty())
    return usage("no process id was given", try_help());
  for (const std::string& word : words) {
    Result<pid_t> pid = parse_pid(word);
    if (!pid && is_command(word))
      pid.error().hint = "the command comes first: grab " + word;
    GRAB_CHECK(pid);
    if (options.pid != 0) {
      return usage("more than one process id was given: " + std::to_string(options.pid) + " and " +
                       std::to_string(*pid),
                   "one grab moves one tree; --tree takes in all that is below the process");
    }
    options.pid = *pid;
  }
  return {};
}

Status take_nothing(const Words& words, Options& /*options*/) {
  if (!words.empty())
    return usage("grab list takes no name, but " + in_quotes(words[0]) + " was given",
                 "it lists every tree");
  return {};
}

Status take_target(const Words& words, Options& options) {
  if (words.size() > 1) {
    return usage(
        "more than one tree was named: " + in_quotes(words[0]) + " and " + in_quotes(words[1]),
        "grab list shows what they are called");
  }
  if (!words.empty()) {
    GRAB_TRY(options.target, parse_target(words[0]));
  }
  return {};
}

Status take_target_and_text(const Words& words, Options& options) {
  constexpr const char* kForm = "it is grab send NAME TEXT, such as grab send make.4711 'y\\r'";
  if (words.empty())
    return usage("no tree was named that is to get the text", kForm);
  GRAB_TRY(options.target, parse_target(words[0]));
  const Words text(words.begin() + (words.size() > 1 && words[1] == "--" ? 2 : 1), words.end());
  if (text.empty())
    return usage("no text was given that is to be typed", kForm);
  for (std::size_t i = 0; i < text.size(); ++i)
    options.text += (i > 0 ? " " : "") + text[i];
  if (!options.literal) {
    GRAB_TRY(options.text, unescape(options.text));
  }
  return {};
}

Status take_target_and_signal(const Words& words, Options& options) {
  constexpr const char* kForm = "it is grab signal NAME SIGNAL, such as grab signal make.4711 TERM";
  if (words.size() < 2) {
    return usage(
        words.empty() ? "no tree was named that is to get the signal" : "no signal was given",
        kForm);
  }
  if (words.size() > 2)
    return usage("one signal at a time, but " + in_quotes(words[2]) + " was given too", kForm);
  GRAB_TRY(options.target, parse_target(words[0]));
  GRAB_TRY(options.signo, parse_signal(words[1]));
  return {};
}

Status take_command(const Words& words, Options& options) {
  if (words.empty() || words[0].empty())
    return usage("no command was given that is to be run",
                 "it is grab run COMMAND, such as grab run make -j4");
  options.command = words;
  return {};
}

// ---- which command has what

const std::vector<Command>& commands() {
  static const std::vector<Command> known = {
      {Action::kMove,
       {.command = "",
        .flags = {"tree", "force", "force-stdio", "keep-session", "keep-stopped", "keep-job",
                  "partial", "json", "dry-run,N", "verbose,v", "help,h", "version,V", "detached"},
        .values = {"timeout", "name", "log", "record", "detach-key,e"}},
       take_pid},
      {Action::kAttach,
       {.command = "attach",
        .flags = {"read-only,r", "detach-others,d", "verbose,v", "help,h"},
        .values = {"detach-key,e"}},
       take_target},
      {Action::kList, {.command = "list", .flags = {"json", "help,h"}}, take_nothing},
      {Action::kDetach, {.command = "detach", .flags = {"help,h"}}, take_target},
      {Action::kSend,
       {.command = "send", .flags = {"literal,l", "help,h"}, .first_word_ends_options = true},
       take_target_and_text},
      {Action::kPeek, {.command = "peek", .flags = {"help,h"}}, take_target},
      {Action::kWait, {.command = "wait", .flags = {"help,h"}}, take_target},
      {Action::kSignal, {.command = "signal", .flags = {"help,h"}}, take_target_and_signal},
      {Action::kRun,
       {.command = "run",
        .flags = {"detached", "verbose,v", "help,h"},
        .values = {"name", "log", "record", "detach-key,e"},
        .first_word_ends_options = true},
       take_command},
  };
  return known;
}

// The command that the first word is; else the move.
const Command& find_command(std::string_view word) {
  const std::vector<Command>& known = commands();
  const auto found = std::find_if(known.begin() + 1, known.end(), [&](const Command& command) {
    return command.syntax.command == word;
  });
  return found == known.end() ? known.front() : *found;
}

bool is_command(std::string_view word) {
  return !find_command(word).syntax.command.empty();
}

// ---- the options

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
      {"partial", options.move.partial},
      {"json", options.json},
      {"verbose", options.verbose},
      {"detached", options.detached},
      {"read-only", options.read_only},
      {"detach-others", options.detach_others},
      {"literal", options.literal},
  };
  for (const auto& known : flags) {
    if (known.name == name) {
      known.flag = true;
      return true;
    }
  }
  return false;
}

Status take_option(const SplitLine::Option& option, Options& options) {
  const auto& [name, value] = option;
  if (set_flag(name, options))
    return {};
  if (name == "help") {
    options.action = Action::kHelp;
  } else if (name == "version" && options.action != Action::kHelp) {
    options.action = Action::kVersion;
  } else if (name == "dry-run" && options.action == Action::kMove) {
    options.action = Action::kDryRun;
  } else if (name == "timeout") {
    GRAB_TRY(options.move.timeout_s, parse_timeout(value));
  } else if (name == "detach-key") {
    GRAB_TRY(options.detach_key, parse_key(value));
  } else if (name == "name") {
    GRAB_TRY(options.name, parse_name(value));
  } else if (name == "log" || name == "record") {
    if (value.empty())
      return usage("--" + name + " needs the path of a file", try_help());
    (name == "log" ? options.log : options.record) = value;
  }
  return {};
}

// What each option alone does not show.
Status check_together(const Options& options) {
  if (options.json && options.action == Action::kMove)
    return usage("--json goes with --dry-run: it is the plan that is printed as JSON", try_help());
  if (!options.log.empty() && options.log == options.record) {
    return usage("--log and --record name the same file, " + in_quotes(options.log),
                 "they write differently: give each its own");
  }
  return {};
}

// Words that other programs have for what grab has a word for.
std::string_view synonym(std::string_view word) {
  constexpr std::pair<std::string_view, std::string_view> kKnown[] = {
      {"ls", "list"},         {"ps", "list"},     {"status", "list"},       {"resume", "attach"},
      {"reattach", "attach"}, {"kill", "signal"}, {"stuff", "send"},        {"type", "send"},
      {"capture", "peek"},    {"screen", "peek"}, {"exec", "run"},          {"start", "run"},
      {"new", "run"},         {"a", "attach"},    {"disconnect", "detach"},
  };
  for (const auto& [theirs, ours] : kKnown) {
    if (theirs == word)
      return ours;
  }
  return {};
}

std::string_view suggestion(std::string_view word) {
  std::vector<std::string_view> known = {"help"};
  for (const Command& command : commands())
    known.push_back(command.syntax.command);
  const std::string_view ours = synonym(word);
  return ours.empty() ? nearest_word(word, known) : ours;
}

bool begins_with_letter(std::string_view word) {
  return !word.empty() && std::isalpha(static_cast<unsigned char>(word[0])) != 0;
}

// A first word that was meant as a command, or as the name of a tree.
tl::unexpected<Error> unknown_command(const std::string& word) {
  const std::string_view meant = suggestion(word);
  return usage(in_quotes(word) + " is neither a process id nor a command",
               meant.empty()
                   ? "a tree that was moved before is shown by grab attach NAME; " + try_help()
                   : "did you mean grab " + std::string(meant) + "?");
}

// grab help [COMMAND]
Result<Options> parse_help(const Words& words) {
  Options options;
  options.action = Action::kHelp;
  if (words.empty())
    return options;
  if (!is_command(words[0]))
    return usage("there is no command " + in_quotes(words[0]), try_help());
  options.about = find_command(words[0]).action;
  return options;
}

Result<Options> parse_line(const Command& command, const Words& line) {
  GRAB_TRY(const SplitLine split, split_line(line, command.syntax));
  Options options;
  options.action = options.about = command.action;
  for (const SplitLine::Option& option : split.options)
    GRAB_CHECK(take_option(option, options));
  if (options.action == Action::kHelp || options.action == Action::kVersion)
    return options;
  GRAB_CHECK(command.take_words(split.words, options));
  GRAB_CHECK(check_together(options));
  return options;
}

}  // namespace

Result<Options> parse_options(int argc, const char* const* argv) {
  const Words line(argv + std::min(argc, 1), argv + argc);
  const std::string word = line.empty() ? "" : line[0];
  if (is_command(word))
    return parse_line(find_command(word), Words(line.begin() + 1, line.end()));
  if (word == "help")
    return parse_help(Words(line.begin() + 1, line.end()));
  if (begins_with_letter(word))
    return unknown_command(word);
  return parse_line(commands().front(), line);
}

bool wants_json(int argc, const char* const* argv) {
  const std::vector<std::string_view> words(argv, argv + argc);
  if (words.size() > 1 && is_command(words[1]) && words[1] != "list")
    return false;
  const auto end = std::find(words.begin(), words.end(), "--");
  return std::find(words.begin(), end, "--json") != end;
}

}  // namespace grab::cli
