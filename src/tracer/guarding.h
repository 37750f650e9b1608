// SPDX-License-Identifier: MIT
// The interactive shells of a tree that the kernel would not let go on with their jobs: what has to
// be done for them, decided from values (plan.h) and carried out by job_guard.h.
#pragma once

#include <sys/types.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "proc/snapshot.h"

namespace grab::tracer {

struct Guarding {
  struct Process {
    pid_t pid = 0;
    std::uint64_t start_time = 0;  ///< with pid, an identity
  };
  struct Shell : Process {
    bool lacks_terminal = false;  ///< it has no controlling terminal: no job can be put in front
  };
  std::vector<Shell> shells;     ///< empty: nothing is to be done
  std::vector<pid_t> job_pgids;  ///< jobs of before that are not of their shell's session any more
  /// Processes of those that clean their screen at SIGTSTP and then stop themselves.
  std::vector<Process> self_stoppers;
  /// Whether the guard traces it from the beginning.
  [[nodiscard]] bool has(pid_t pid) const {
    const auto is_it = [pid](const Process& one) { return one.pid == pid; };
    return std::any_of(shells.begin(), shells.end(), is_it) ||
           std::any_of(self_stoppers.begin(), self_stoppers.end(), is_it);
  }
  pid_t root = 0;        ///< of the tree
  pid_t job_pgid = 0;    ///< root's group after the move
  pid_t front_pgid = 0;  ///< in front at the move where the kernel has another; 0: where it has it
};

}  // namespace grab::tracer
