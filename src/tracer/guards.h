// SPDX-License-Identifier: MIT
// The processes of an earlier grab that still trace: grab-jobs (tracer/job_guard.h) the shells of a
// tree, grab-guard (tracer/tell.h) a shell that jobs have been moved out of. They give way to the
// next grab.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <csignal>
#include <optional>
#include <string>

#include "proc/snapshot.h"

namespace grab::tracer {

constexpr const char* kJobGuardName = "grab-jobs";
constexpr const char* kShellGuardName = "grab-guard";
/// Who moves a tree, or tells a shell: no guard yet.
constexpr const char* kTracerName = "grab-tracer";
/// Ends a guard. Who has started it starts it again, when nobody has traced for a while what it
/// guards.
constexpr int kGiveWay = SIGUSR1;
/// The descriptor at which a guard has memory that the next grab reads.
constexpr int kGuardMemory = 3;
/// For how long a guard that has given way stays aside; by then another grab has begun, or will
/// not.
constexpr std::chrono::milliseconds kGuardAside{500};

struct Guard {
  pid_t pid = 0;
  uid_t user = 0;
  [[nodiscard]] std::string memory_path() const;
};

/// The guard that traces the thread, if one does. Anybody can give a process that name: it is none
/// unless it is root's, ours or of the thread's user; what it has open need not be what a guard
/// has.
[[nodiscard]] std::optional<Guard> guard_of(pid_t tid);
/// Whether a tracer of that name gives way to another grab.
[[nodiscard]] bool gives_way(const std::string& tracer_comm);
/// If a guard traces the thread, has it give way for a second or so. Returns when nobody traces the
/// thread, or it cannot be had in that time; with the group that the guard had in front, or 0.
pid_t have_guard_give_way(pid_t tid, std::chrono::milliseconds limit = kGuardAside);
/// Has every guard of these processes give way, in that time for all of them, and waits until those
/// that were stopped are so again. Nothing if there is none.
std::optional<pid_t> have_guards_give_way(const proc::Snapshot& snapshot);

}  // namespace grab::tracer
