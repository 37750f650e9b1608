// SPDX-License-Identifier: MIT
#include "tracer/served_screen.h"

#include <vector>

#include "proc/drawers.h"
#include "tracer/refusal.h"
#include "tracer/terminal.h"

namespace grab::tracer {

Status check_screen(const proc::Snapshot& snapshot, const MovePlan& plan, int old_terminal_fd,
                    const MoveOptions& options) {
  const proc::Terminal& terminal = snapshot.old_terminal;
  std::vector<pid_t> tree;
  bool has_client = false;  // in control mode (tmux -C) it reads lines
  for (const proc::Process& process : snapshot.processes) {
    tree.push_back(process.stat.pid);
    has_client = has_client || process.stat.comm == "tmux: client";
  }
  if (!plan.foreground || (!is_raw(old_terminal_fd) && !has_client))
    return {};  // a server draws for a client that gets each key
  return check_drawers(proc::drawers_on(terminal.name, tree), terminal, options);
}

}  // namespace grab::tracer
