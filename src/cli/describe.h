// SPDX-License-Identifier: MIT
// A plan in words and as JSON, for --dry-run. Pure: values in, text out. Everything that a foreign
// program could have chosen goes through printable().
#pragma once

#include <string>

#include "base/error.h"
#include "proc/snapshot.h"
#include "tracer/plan.h"

namespace grab::cli {

/// What a move would do, for people: what happens to the tree, and a paragraph a process.
[[nodiscard]] std::string describe_plan(const proc::Snapshot& snapshot,
                                        const tracer::MovePlan& plan);

/// The tree alone, a line a process: what --verbose shows of a tree that is refused.
[[nodiscard]] std::string describe_tree(const proc::Snapshot& snapshot);

/// The plan as one JSON document; its fields are in grab(1), "JSON OUTPUT".
[[nodiscard]] std::string plan_json(const proc::Snapshot& snapshot, const tracer::MovePlan& plan);

/// The tree and why it is refused.
[[nodiscard]] std::string refusal_json(const proc::Snapshot& snapshot, const Error& error);

/// {"error": {"kind", "message", "hint", "exit_status"}}
[[nodiscard]] std::string error_json(const Error& error);

}  // namespace grab::cli
