// SPDX-License-Identifier: MIT
// A terminal that a server draws on and reads for a client in the tree: tmux, screen ...
#pragma once

#include "base/error.h"
#include "proc/snapshot.h"
#include "proc/tree_reader.h"
#include "tracer/plan.h"

namespace grab::tracer {

/// Makes a server of tmux that draws on the old terminal a member of what `reader` reads. True if
/// there is one that was none: then the tree has to be looked at again. Errors: kRefused where a
/// server of another kind draws there.
[[nodiscard]] Result<bool> take_servers(proc::TreeReader& reader, const proc::Snapshot& snapshot,
                                        const MovePlan& plan, const MoveOptions& options);

}  // namespace grab::tracer
