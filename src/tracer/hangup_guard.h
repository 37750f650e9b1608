// SPDX-License-Identifier: MIT
// Keeps a shell that has been told, and has not yet taken note, from hanging up the job when its
// window closes.
#pragma once

#include <sys/types.h>

namespace grab::tracer {

/// Follows `shell` until it starts its next command (it has shown a prompt by then, and forgotten
/// the job), ends, or our parent does. If it is hung up before, its kill(2) of the group `pgid` are
/// not made. Costs nothing while the shell waits. Blocks; for a process that has nothing else to
/// do. Needs no answer: without it the shell does what it always did.
// Shells: bash takes a job that has ended out of its table only when it has reported it, at its
// next prompt, and sends SIGHUP to every job in the table when it is hung up. Source: bash jobs.c
// hangup_all_jobs(); seen in bash 5.2.
void guard_from_hangup(pid_t shell, pid_t pgid);

}  // namespace grab::tracer
