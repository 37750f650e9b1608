// SPDX-License-Identifier: MIT
// The relay's words: the tree that is shown, how it ended, and the user's terminal that shows it.
// One relay process (server.h) holds the ptmx of one tree; viewers (view.h) come and go over a
// socket.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/unique_fd.h"

namespace grab::relay {

struct ProcessRef {
  pid_t pid = 0;
  std::uint64_t start_time = 0;  ///< as in /proc/PID/stat
};

/// What the relay has to know of the tree it shows.
struct MovedTree {
  std::string name;                   ///< for messages; already printable
  std::vector<ProcessRef> processes;  ///< all that were moved
  std::vector<dev_t> terminals;       ///< that they were moved off, some of them maybe not
  pid_t status_pid = 0;               ///< the process whose exit status is the tree's
  pid_t job_pgid = 0;                 ///< root's group after the move
  bool kernel_signals_job =
      true;  ///< root has the pts as controlling terminal (false: keep-session)
  std::vector<pid_t>
      follower_pgids;  ///< groups of root's job that the kernel does not reach from the pts
  std::vector<pid_t> redraw_pids;  ///< full-screen programs to be made to redraw by a size changed
                                   ///< and changed back
};

/// What a user is told of a tree. Texts of foreign programs may hold any byte.
struct TreeInfo {
  std::string name;        ///< of its socket: "make.4711"
  pid_t pid = 0;           ///< that the user named
  std::string command;     ///< its command line
  std::int64_t since = 0;  ///< microseconds of CLOCK_REALTIME
};

struct TreeEnd {
  std::optional<int> wait_status;  ///< of status_pid, where the kernel told it
  bool moved_away = false;         ///< root lives, and has another controlling terminal by now
};

/// The user's terminal, which shows the tree.
struct Viewer {
  UniqueFd terminal;  ///< a description of its own (reopened), non-blocking; never an inherited 0-2
};

/// Opens grab's own terminal for viewing, as a description of its own.
/// Errors: kRefused without a terminal.
[[nodiscard]] Result<Viewer> open_viewer();

/// A new ptmx, unlocked, with the window size of `viewer`. Close-on-exec and non-blocking.
[[nodiscard]] Result<UniqueFd> open_ptmx(const Viewer* viewer);

}  // namespace grab::relay
