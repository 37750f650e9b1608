// SPDX-License-Identifier: MIT
// Servers that draw on a terminal which a client of theirs was started on: tmux, screen.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace grab::proc {

struct Drawer {
  pid_t pid = 0;
  std::string comm;  ///< raw, as Stat::comm
};

/// The processes without a controlling terminal that have the terminal at `path` open for reading
/// and writing as another descriptor than 0-2, as daemons do which were handed it on purpose. Those
/// of `but` and those that we may not look into are left out. Reads /proc/PID/fd of every process.
[[nodiscard]] std::vector<Drawer> drawers_on(const std::string& path,
                                             const std::vector<pid_t>& but);

}  // namespace grab::proc
