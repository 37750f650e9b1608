// SPDX-License-Identifier: MIT
// The command line of grab as plain values. Nothing here looks at a process or prints anything.
// What single words mean is in words.h, the help texts are in help.cc.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "tracer/plan.h"

namespace grab::cli {

enum class Action {
  kMove,
  kDryRun,
  kHelp,
  kVersion,
  kAttach,
  kList,
  kDetach,
  kSend,
  kPeek,
  kWait,
  kSignal,
  kRun,
};

/// The detach key without -e: ^\.
inline constexpr unsigned char kDefaultDetachKey = 0x1C;

struct Options {
  Action action = Action::kMove;
  Action about = Action::kMove;  ///< with kHelp: the command that help is asked for
  pid_t pid = 0;                 ///< kMove, kDryRun
  tracer::MoveOptions move;
  bool json = false;     ///< --json, with --dry-run and list
  bool verbose = false;  ///< --verbose

  /// attach, detach, send, peek, wait, signal: a name or, all digits, a process id. Empty: the
  /// only tree, or the newest.
  std::string target;

  std::string name;                                             ///< --name, or empty
  bool detached = false;                                        ///< --detached
  std::optional<unsigned char> detach_key = kDefaultDetachKey;  ///< -e; nothing: no key detaches
  std::string log;                                              ///< --log, a path or empty
  std::string record;                                           ///< --record, a path or empty
  bool read_only = false;                                       ///< attach --read-only
  bool detach_others = false;                                   ///< attach --detach-others
  bool literal = false;                                         ///< send --literal
  std::string text;                  ///< send: the bytes to type; escapes are replaced already
  int signo = 0;                     ///< signal
  std::vector<std::string> command;  ///< run: program and arguments, at least one
};

/// Reads a command line, as main() gets it.
/// Errors: kUsage, one sentence that names the word it is about, with a hint.
[[nodiscard]] Result<Options> parse_options(int argc, const char* const* argv);

/// Whether a command line asks for JSON, also one that parse_options() finds fault with.
[[nodiscard]] bool wants_json(int argc, const char* const* argv);

/// What --help prints; with an Action, what `grab COMMAND --help` prints.
[[nodiscard]] std::string_view help_text(Action about = Action::kMove);

}  // namespace grab::cli
