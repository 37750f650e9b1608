// SPDX-License-Identifier: MIT
// The processes between fork(2) and execve(2) of a session. The holder is the parent of all of
// them, also of those that put themselves into the background, and ends when the last of them has.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace grab::bench {

struct Launch {
  std::vector<std::string> command;  ///< of the contender
  int pts = -1;                      ///< the outer terminal
  // Only for a contender that moves the program:
  std::vector<std::string> program;
  int old_pts = -1;      ///< where the program is started, by a shell
  int pid_to_move = -1;  ///< a pipe that says the pid, in digits, when it is time
  int shell_pid = -1;    ///< a pipe that is told the pid of that shell, as a pid_t
};

/// To be called in the child of a fork. Never returns.
[[noreturn]] void be_holder(const Launch& launch);

}  // namespace grab::bench
