// SPDX-License-Identifier: MIT
// What a grab has to know beyond the tree: grab itself and its ancestors, who holds the ptmx of a
// terminal, and the job's parent.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "proc/snapshot.h"

namespace grab::proc {

/// /proc/PID/stat of any process or thread; nothing if it is not there.
[[nodiscard]] std::optional<Stat> stat_of(pid_t pid);

/// Its /proc/PID/status; likewise.
[[nodiscard]] std::optional<Status> status_of(pid_t pid);

/// Who traces the thread; 0 if nobody does, or if it is not there.
[[nodiscard]] pid_t tracer_of(pid_t tid);

/// What `name` had in the environment that the process was started with; empty if it was not there,
/// or is not ours to see.
[[nodiscard]] std::string environment_of(pid_t pid, std::string_view name);

/// The process, its parent, and so on up to 1 (or to where our pid namespace ends).
[[nodiscard]] std::vector<pid_t> lineage_of(pid_t pid);

/// Who holds the ptmx of pts `device`: those of `likely` that do, else every process that does and
/// lets us see it, ascending. Empty for a terminal that is no pts.
[[nodiscard]] std::vector<pid_t> ptmx_keepers(dev_t device, const std::vector<pid_t>& likely);

/// grab itself.
[[nodiscard]] Self read_self();

/// A process that is not of the tree: all but its descriptors. Errors: kGone.
[[nodiscard]] Result<Process> read_outside_process(pid_t pid);

}  // namespace grab::proc
