// SPDX-License-Identifier: MIT
// What a tracer that was killed may leave: processes that stand still inside their batch, with
// nobody to send the SIGCONT that lets them come out of it.
#pragma once

#include <sys/types.h>

#include <vector>

#include "proc/snapshot.h"

namespace grab::tracer {

/// Lets each of these that stands still inside a batch, or is on its way there, go on until it has
/// come out, and stops it again if it was stopped before it was moved. Returns whether there was
/// one. Sees to all at once; to one that gets no processor for as long as OnItsWay says.
// Kernel: a stopped process makes its calls for a tracer, and is stopped where it is when that
// tracer is gone. Source: kernel/ptrace.c __ptrace_unlink; seen.
bool bring_out_of_batches(const std::vector<pid_t>& pids);

/// The same for the stopped processes of the snapshot and the old shell's other children. If it
/// returns true what the snapshot says is old.
[[nodiscard]] bool mend_half_moved(const proc::Snapshot& snapshot);

}  // namespace grab::tracer
