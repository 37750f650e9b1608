// SPDX-License-Identifier: MIT
// The move itself, as the tracer process carries it out:
// look, plan, seize, stop, look again, plan again, prepare, commit, release; then the old shell is
// told.
#pragma once

#include <functional>
#include <string>

#include "base/error.h"
#include "tracer/fd_store.h"
#include "tracer/report.h"
#include "tracer/tracer.h"

namespace grab::tracer {

struct MoveChannel {
  /// Held before anything is risked, then Moved. False if it cannot be written down for those who
  /// come after a killed tracer.
  std::function<bool(const Report&)> report;
  std::function<void(const std::string&)> notice;  ///< a sentence for the user, after Moved
};

struct MoveEnds {
  int ptmx = -1;     ///< of the pts that the tree is moved to
  int command = -1;  ///< as in MoveFor
  pid_t command_pid = 0;
  int front = -1;            ///< as in MoveFor
  const FdStore& left_open;  ///< as in MoveFor
  /// A move to the same ptmx that was broken off behind its commit, and is to be completed: all
  /// that is still on the terminals that it set out from. Null: none.
  const Moved* unfinished = nullptr;
};

/// Runs in a process that has nothing else to wait for. Reports Held and Moved itself.
/// Errors: those of move_tree(); every one leaves the tree as it was.
[[nodiscard]] Status run_move(pid_t named, const MoveOptions& options, MoveEnds ends,
                              const MoveChannel& channel);

}  // namespace grab::tracer
