// SPDX-License-Identifier: MIT
// What tests of attaching and detaching do again and again, typed in a SecondTerminal.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "support/grab_test.h"

namespace grab::test {

/// Types `grab run OPTIONS -- PROGRAM`, for a program that says "ready PID"; waits for that, and
/// returns the pid. Throws when it is not said.
[[nodiscard]] pid_t runs(SecondTerminal& terminal, const std::string& program,
                         const std::string& options = {});
/// The same with --detached, for a program that need not say anything. The shell has its prompt.
[[nodiscard]] testing::AssertionResult runs_detached(SecondTerminal& terminal,
                                                     const std::string& program,
                                                     const std::string& options);
/// Types `grab attach ARGUMENTS` and waits until the relay has the terminal.
[[nodiscard]] testing::AssertionResult attaches(SecondTerminal& terminal,
                                                const std::string& arguments = {});
/// grab has its terminal in raw mode: keys are the tree's.
[[nodiscard]] testing::AssertionResult shows_a_tree(const SecondTerminal& terminal);
/// Types the detach key; grab says that it is detached from `name`, ends, and the shell answers.
[[nodiscard]] testing::AssertionResult detaches(SecondTerminal& terminal, const std::string& name,
                                                std::string_view key = "\x1c");
/// A command of grab in this shell, without a terminal to show it on: status and what it printed.
[[nodiscard]] SecondTerminal::Outcome says(SecondTerminal& terminal, const std::string& arguments);

/// Living processes of this test that are called so: grab-relay, grab-keeper.
[[nodiscard]] std::vector<pid_t> processes_named(const std::string& comm);
/// The one of them; throws when it does not come, or is not alone.
[[nodiscard]] pid_t process_named(const std::string& comm);

}  // namespace grab::test
