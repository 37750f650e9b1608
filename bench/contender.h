// SPDX-License-Identifier: MIT
// Runs one contender on one fresh tree, and says what the processes of the tree saw of it.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "board.h"

namespace grab::bench {

enum class Kind {
  kFloor,   ///< seize, interrupt, wait, detach; moves nothing
  kGrab,    ///< grab --tree ROOT
  kReptyr,  ///< reptyr ROOT; one process only
};
[[nodiscard]] const char* name_of(Kind kind);

struct Contender {
  Kind kind = Kind::kFloor;
  std::string program;  ///< the path of grab or reptyr; unused by the floor
};

/// All times in nanoseconds.
struct Sample {
  /// From just before fork(2) of the contender until the root of the tree has another terminal as
  /// its descriptor 0, by its own clock; for the floor, until it has ended.
  Nanoseconds done = 0;
  /// The longest window among the processes: the gap that the spinning root saw, and how much later
  /// than the end of its sleep each other process read its clock.
  Nanoseconds frozen = 0;
  /// The longest gap between two readings of one process, its sleep included: no process was frozen
  /// for longer than this.
  Nanoseconds longest_gap = 0;
  /// The median process; 0 where the sleeps are longer than the window and hide it.
  Nanoseconds frozen_median = 0;
  /// As `frozen`, before the contender started: what the machine itself does.
  Nanoseconds quiet = 0;
};

/// Errors: kSystem, kTimeout; kUnsupported when the contender did not move every process, or a
/// process saw an error, with the contender's output as hint.
[[nodiscard]] Result<Sample> measure(const Contender& contender, int count);

/// The floor, as a program of its own: what the kernel alone takes to stop these processes and let
/// them go. Returns an exit status.
[[nodiscard]] int run_floor(const std::vector<pid_t>& pids);

}  // namespace grab::bench
