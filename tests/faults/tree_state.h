// SPDX-License-Identifier: MIT
// Everything of a tree of processes and of its terminal that a grab which fails must leave as it
// was: what /proc says of each, line by line, the bytes of the vDSO, and the terminal's modes.
#pragma once

#include <sys/types.h>

#include <map>
#include <string>
#include <vector>

#include "support/terminal_session.h"

namespace grab::test {

/// By what it is of ("4711 fdinfo/3"), as text.
using TreeState = std::map<std::string, std::string>;

[[nodiscard]] TreeState state_of(const TerminalSession& terminal, const std::vector<pid_t>& pids);

/// What differs, one line each; empty if nothing does.
[[nodiscard]] std::string difference(const TreeState& before, const TreeState& after);

/// Waits a moment (who ends tracing lets go a little later) for the state to be as it was.
[[nodiscard]] testing::AssertionResult is_as_before(const TreeState& before,
                                                    const TerminalSession& terminal,
                                                    const std::vector<pid_t>& pids);

}  // namespace grab::test
