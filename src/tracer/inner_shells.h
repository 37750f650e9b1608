// SPDX-License-Identifier: MIT
// Which shells of a tree are guarded. Pure.
#pragma once

#include "proc/snapshot.h"
#include "tracer/guarding.h"
#include "tracer/plan.h"

namespace grab::tracer {

/// For a plan that has root, topology, processes and foreground. `old_pgid`: root's group before.
[[nodiscard]] Guarding decide_guarding(const proc::Snapshot& snapshot, const MovePlan& plan,
                                       pid_t old_pgid);

}  // namespace grab::tracer
