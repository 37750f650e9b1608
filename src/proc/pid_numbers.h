// SPDX-License-Identifier: MIT
// What number a process or a group has for a process of the tree that is in another pid namespace,
// and what one in there may not do. Pure.
#pragma once

#include <sys/types.h>

#include "proc/snapshot.h"

namespace grab::proc {

/// Whether the process is in another pid or user namespace than grab: it cannot see grab.
[[nodiscard]] bool is_contained(const Process& process, const Self& self);

/// Whether the process may take a descriptor from grab by pidfd_getfd(2); else it must be sent it.
[[nodiscard]] bool may_take(const Process& process, const Self& self);

/// The number that `seer` knows the process or group `pid` by, 0 if it knows none that the snapshot
/// tells of.
// Kernel: a process has a number in its own pid namespace and in each around it, and none in any
// other; calls take and give the numbers of the caller's. Source: pid_namespaces(7).
[[nodiscard]] pid_t number_for(const Snapshot& snapshot, const Process& seer, pid_t pid);

}  // namespace grab::proc
