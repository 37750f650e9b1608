// SPDX-License-Identifier: MIT
// Why a tree is not moved. Pure; each refusal is one sentence and says what would help.
#pragma once

#include <vector>

#include "base/error.h"
#include "proc/drawers.h"
#include "proc/snapshot.h"
#include "tracer/plan.h"

namespace grab::tracer {

/// Errors: the first reason found not to move the tree: kRefused, kUnsupported, kPermission.
[[nodiscard]] Status check_movable(const proc::Snapshot& snapshot, const MoveOptions& options);

/// Errors: kRefused where somebody else draws what is shown on the terminal of the foreground job.
[[nodiscard]] Status check_drawers(const std::vector<proc::Drawer>& drawers,
                                   const proc::Terminal& terminal, const MoveOptions& options);

/// Whether a refusal may be one of a moment.
[[nodiscard]] bool may_pass(const Error& refusal);
/// Whether any process is in execve(2) or exit(2), where it cannot be moved.
[[nodiscard]] bool is_in_passage(const proc::Snapshot& snapshot);

/// Whether this user may signal the one that traces the process.
[[nodiscard]] bool may_ask_tracer(const proc::Process& process, const proc::Self& self);
/// Whether the kernel will let a process of ours trace this one, as far as /proc tells.
[[nodiscard]] bool is_traceable(const proc::Process& process, const proc::Self& self);
/// A sentence that says why not; empty if it may be traced.
[[nodiscard]] std::string why_not_traceable(const proc::Process& process, const proc::Self& self);
/// Whether --partial leaves it where it is.
[[nodiscard]] bool stays_behind(const proc::Process& process, const proc::Snapshot& snapshot,
                                const MoveOptions& options);

/// Descriptor numbers a process lends while it is moved: two for the way to us, two a description,
/// one for the old terminal and one for the new, and what moving stale epoll entries takes: a
/// copy of each file that makes room for a while, two of each file that is watched so, and one of
/// each set.
[[nodiscard]] std::vector<int> free_descriptors(const proc::Process& process, std::size_t count);
[[nodiscard]] std::size_t lent_descriptors(const proc::Process& process);

}  // namespace grab::tracer
