// SPDX-License-Identifier: MIT
// Tells the old shell that its job has ended: its wait call returns the job's processes, though
// they live on.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <vector>

#include "base/error.h"

namespace grab::tracer {

struct Told {
  std::vector<pid_t> left;  ///< children that it has not asked for in time; empty when all is well
};

/// Traces `shell` from one system call to the next until it waits for its children, and lets the
/// wait return each of `children` (members of `pgid`) with `wait_status`, once. A shell that does
/// not wait gets a SIGCHLD as a kick. Whoever dies in the middle, the shell goes on with a call
/// that has either been made or been answered. Errors: kPermission if it cannot be traced, kGone.
[[nodiscard]] Result<Told> tell_shell(pid_t shell, pid_t pgid, std::vector<pid_t> children,
                                      int wait_status, std::chrono::milliseconds limit);

}  // namespace grab::tracer
