// SPDX-License-Identifier: MIT
// `grab --tree PID` on a terminal of its own, without a shell around it: for tests that look at the
// old shell's side and run many at once.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "support/grab_test.h"

namespace grab::test {

class Moving : public TerminalSession {
 public:
  explicit Moving(pid_t pid, const std::vector<std::string>& options = {});

  /// All of the tree has left `from`, grab shows it, and nobody traces the old shell any more but a
  /// guard.
  [[nodiscard]] testing::AssertionResult is_moved_from(const TerminalSession& from) {
    return is_moved_off(from.path());
  }
  /// The same for a pts that a relay kept (terminal_of(), before); it may be gone.
  [[nodiscard]] testing::AssertionResult is_moved_off(const std::string& terminal);
  /// A line typed here reaches a program of tracee_zoo, which answers it.
  [[nodiscard]] testing::AssertionResult echoes(const std::string& line);

 private:
  std::vector<pid_t> tree_;
};

}  // namespace grab::test
