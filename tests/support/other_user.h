// SPDX-License-Identifier: MIT
// Processes of another user, for tests that root runs.
#pragma once

#include <string>

namespace grab::test {

/// What stands before a command that the user nobody is to run.
[[nodiscard]] std::string as_nobody();
/// A copy of a program (by its name in PATH of the test's shells, or its path) that every user can
/// run; with `set_uid` it runs as root.
[[nodiscard]] std::string program_for_all(const std::string& program, bool set_uid = false);

}  // namespace grab::test
