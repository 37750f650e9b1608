// SPDX-License-Identifier: MIT
// Who speaks for a process: a main thread that has ended tells nothing of the others.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>

#include "proc/snapshot.h"

namespace grab::proc {

/// The main thread, or the first that lives where that has ended and others have not; the main
/// thread too if there is no such process.
[[nodiscard]] pid_t speaker_of(pid_t pid);

/// As stat_of() of a process, but with the state of its speaker.
[[nodiscard]] std::optional<Stat> stat_of_process(pid_t pid);

/// How long the speaker of a process has had a processor; nothing where the kernel does not tell.
[[nodiscard]] std::optional<std::chrono::nanoseconds> run_time_of(pid_t pid);

}  // namespace grab::proc
