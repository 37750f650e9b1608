// SPDX-License-Identifier: MIT
// What the shell (or terminal) that waits for the job is to be told, decided from values.
#pragma once

#include <optional>

#include "proc/snapshot.h"
#include "tracer/plan.h"
#include "tracer/tell.h"

namespace grab::tracer {

/// Whether the process looks like a shell that runs jobs for somebody at a terminal.
// Kernel: nothing marks a shell; but every interactive shell with job control ignores SIGTTOU (else
// it could not take its terminal back) and does not die of SIGTERM, while a script, even under `set
// -m`, does neither. xonsh catches SIGTTOU, and ignores SIGTSTP as only a shell does. Source: seen
// in bash, zsh, fish, dash, mksh, ksh93, tcsh, busybox ash, yash, nushell; bash(1) SIGNALS.
[[nodiscard]] bool is_interactive_shell(const proc::Process& process);

/// `root` is the process that leaves; `pgid` the job's group as the shell knows it; `leader`: it is
/// a session leader.
[[nodiscard]] TellShell decide_telling(const proc::Snapshot& snapshot, const proc::Process& root,
                                       pid_t pgid, bool leader, bool foreground);

/// The same for who tells it; nothing if nobody is told.
[[nodiscard]] std::optional<Telling> to_telling(const TellShell& tell);

}  // namespace grab::tracer
