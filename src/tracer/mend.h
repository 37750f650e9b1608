// SPDX-License-Identifier: MIT
// What a grab leaves whose every process was killed: processes that stand in a SIGSTOP inside their
// batch, with nobody to send the SIGCONT that lets them come out of it.
#pragma once

#include "proc/snapshot.h"

namespace grab::tracer {

/// Continues each stopped process of the snapshot, and each other child of the old shell, that is
/// inside a batch, and waits a moment until it has come out. Returns whether there was one: what
/// the snapshot says is old then.
[[nodiscard]] bool mend_half_moved(const proc::Snapshot& snapshot);

}  // namespace grab::tracer
