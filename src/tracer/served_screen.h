// SPDX-License-Identifier: MIT
// A terminal that a server draws on and reads, for a client that would be moved without it.
#pragma once

#include "base/error.h"
#include "proc/snapshot.h"
#include "tracer/plan.h"

namespace grab::tracer {

/// Errors: kRefused where what the old terminal shows is drawn by a server outside the tree.
[[nodiscard]] Status check_screen(const proc::Snapshot& snapshot, const MovePlan& plan,
                                  int old_terminal_fd, const MoveOptions& options);

}  // namespace grab::tracer
