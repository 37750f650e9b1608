// SPDX-License-Identifier: MIT
// The tracer: carries a plan out in a process of its own, which may die at any instant without
// harm.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/unique_fd.h"
#include "proc/snapshot.h"
#include "tracer/fd_store.h"
#include "tracer/plan.h"
#include "tracer/tell.h"

namespace grab::tracer {

class Journal;

/// Reads the tree of `named` and plans its move. Changes nothing.
struct Survey {
  proc::Snapshot snapshot;
  MovePlan plan;
};
[[nodiscard]] Result<Survey> survey(pid_t named, const MoveOptions& options);
/// The same in two steps, for those who show a tree that is refused, too.
[[nodiscard]] Result<proc::Snapshot> look(pid_t named, const MoveOptions& options);

/// How a move went: what the relay has to know, flat, because it comes from another process.
struct Moved {
  struct Process {
    pid_t pid = 0;
    std::uint64_t start_time = 0;
  };
  std::string root_name;                   ///< "4711 (make)", printable
  std::string old_terminal;                ///< "/dev/pts/3"
  std::vector<std::uint64_t> old_devices;  ///< the terminals that it was moved off, as dev_t
  Topology topology = Topology::kNewSession;
  std::vector<Process> processes;  ///< every one that lived, as the move found them
  pid_t job_pgid = 0;              ///< as in MovePlan
  std::vector<pid_t> follower_pgids;
  std::vector<pid_t> redraw;
  pid_t status_pid = 0;
  Guarding guarding;               ///< as in MovePlan
  std::optional<Telling> telling;  ///< what the old shell is told; nothing if nobody is
  std::vector<std::string> warnings;
  double frozen_ms = 0;  ///< from the first interrupt to the last release
};

/// Who a tree is moved for.
struct MoveFor {
  int ptmx = -1;  ///< of the pts that it is moved to: unlocked, of the right size (else of 0x0)
  /// A pipe or socket whose other end the user's command holds; when that has gone before the
  /// commit, the move is undone. -1: nobody's.
  int command = -1;
  pid_t command_pid = 0;  ///< that command, which refusals call grab itself; 0: the caller
  /// In which the old terminal of a session leader stays open until its keeper is told, whoever is
  /// killed meanwhile. Empty: nowhere.
  FdStore left_open = {};
  int front = -1;  ///< memory of a Front, for the relay to read; -1: nobody reads it
  const Journal* journal = nullptr;  ///< what is reported is written there as well; null: nowhere
  /// Called first in the tracer process.
  std::function<void()> begun = {};
  /// Called in the tracer process when the tree is moved; returns when somebody shows it, whoever
  /// is killed meanwhile.
  std::function<void(const Moved&)> see_to = {};
};

/// Moves the tree of `named` to the pts of `ptmx`, which stays the caller's. Forks a tracer process
/// and waits until the tree is moved or left as it was. `notices` then gives lines of text (what
/// became of the old shell) until it ends; the caller passes it on. If the tracer dies, what it
/// held is continued, and what it has moved in part is moved by another one; if the caller dies,
/// the tracer completes or undoes what it has begun. Errors: as plan_move(); kTimeout if a process
/// did not stop; in each case nothing was changed.
struct MoveResult {
  Moved moved;
  UniqueFd notices;
};
[[nodiscard]] Result<MoveResult> move_tree(pid_t named, const MoveOptions& options,
                                           const MoveFor& whom);

/// For who finds that the caller of move_tree() was killed with its tracer, and has the same ptmx
/// and the same journal: what they held goes on, and what they have moved in part is moved, or is
/// handed to a shell. Errors: the one that the tracer has written down, or that it was killed;
/// nothing was changed then.
[[nodiscard]] Result<MoveResult> resume_move(pid_t named, const MoveOptions& options,
                                             const MoveFor& whom);

}  // namespace grab::tracer
