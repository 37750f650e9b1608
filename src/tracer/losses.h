// SPDX-License-Identifier: MIT
// What a program may miss on its new terminal, though it is moved. Pure.
#pragma once

#include <string>
#include <vector>

#include "proc/snapshot.h"
#include "tracer/plan.h"

namespace grab::tracer {

/// Why an epoll entry stays with the old terminal; null if it is moved.
[[nodiscard]] const char* why_left(const proc::StaleWatch& stale);

/// Warnings, a sentence each, of all that are moved.
[[nodiscard]] std::vector<std::string> losses(const proc::Snapshot& snapshot,
                                              const MoveOptions& options);

}  // namespace grab::tracer
