// SPDX-License-Identifier: MIT
// Tells the old shell that its job has ended: its wait call returns the job's processes, though
// they live on. Whoever dies while it is told, the shell goes on, and another goes on telling.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/error.h"

namespace grab::tracer {

struct Telling {
  pid_t shell = 0;
  std::uint64_t shell_start_time = 0;  ///< with `shell`, an identity
  pid_t pgid = 0;                      ///< the job's group as the shell knows it
  std::vector<pid_t> children;         ///< its children of the job
  int wait_status = 0;                 ///< what each of them is said to have ended with
  /// The shell is at its prompt, or busy with something else: where it is in a builtin `wait`, it
  /// is interrupted first, as by ^C, lest what is to come after the job be run.
  bool background = false;
  /// It hangs up even a job that it knows to have ended: a shell until its next prompt, who holds
  /// the terminal of a session leader at its own end.
  bool guard = false;
  bool again = false;  ///< it may have been told: when it does not ask in time, it was
  /// script(1), or who does as it does: asks only when its poll(2) has timed out, and ends then; it
  /// is to end by SIGINT, for what waits for it.
  bool is_script = false;
};

/// What is called meanwhile, in the processes that tell.
struct TellingCalls {
  std::function<void()> begun;                     ///< the one that tells lives
  std::function<void()> over;                      ///< all is told that can be told at once
  std::function<void(const std::string&)> notice;  ///< gets a sentence if it can not be told at all
};

/// Tells, in a process of its own which this one starts again if it is killed, and which goes on if
/// this one is killed. Returns when there is nothing left to do: all is told, and the shell no
/// longer has the job in its table (or the shell has ended, or the job). Both processes give up
/// every descriptor, and are called grab-guard instead of grab-tracer, as soon as all that can be
/// told at once is told (0.4-4 ms; kTellLimit at most).
void tell_shell(const Telling& telling, const TellingCalls& calls);

}  // namespace grab::tracer
