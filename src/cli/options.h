// SPDX-License-Identifier: MIT
// The command line of grab as plain values. Nothing here looks at a process or prints anything.
#pragma once

#include <sys/types.h>

#include <string_view>

#include "base/error.h"
#include "tracer/plan.h"

namespace grab::cli {

enum class Action {
  kMove,
  kDryRun,
  kHelp,
  kVersion,
};

struct Options {
  Action action = Action::kMove;
  pid_t pid = 0;  ///< 0 only with kHelp and kVersion
  tracer::MoveOptions move;
  bool json = false;     ///< --json, only with --dry-run
  bool verbose = false;  ///< --verbose
};

/// The largest process id that any Linux can give: PID_MAX_LIMIT of a 64-bit kernel.
/// Source: proc(5) /proc/sys/kernel/pid_max.
inline constexpr long kLargestPid = 1L << 22;

/// The longest --timeout, in seconds: a day. More is a slip, and overflows a poll(2) in the end.
inline constexpr double kLongestTimeout = 24.0 * 60 * 60;

/// Reads a command line, as main() gets it.
/// Errors: kUsage, one sentence that names the word it is about, with a hint.
[[nodiscard]] Result<Options> parse_options(int argc, const char* const* argv);

/// Whether a command line asks for JSON, also one that parse_options() finds fault with.
[[nodiscard]] bool wants_json(int argc, const char* const* argv);

/// What --help prints.
[[nodiscard]] std::string_view help_text();

}  // namespace grab::cli
