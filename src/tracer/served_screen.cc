// SPDX-License-Identifier: MIT
#include "tracer/served_screen.h"

#include <unistd.h>

#include <algorithm>
#include <vector>

#include "proc/drawers.h"
#include "tracer/refusal.h"
#include "tracer/terminal.h"

namespace grab::tracer {
namespace {

bool is_client(const proc::Process& process) {
  return process.stat.comm == "tmux: client";
}

// That of tmux asks its descriptor for size and modes, and knows the terminal by name for people
// only. That of screen does too, but draws nothing afresh where the size is what it was when its
// client tells it of a SIGWINCH. Source: tmux 3.3 tty.c, server-client.c; screen 4.9; seen.
bool goes_along(const proc::Drawer& drawer) {
  return drawer.comm == "tmux: server";
}

}  // namespace

Result<bool> take_servers(proc::TreeReader& reader, const proc::Snapshot& snapshot,
                          const MovePlan& plan, const MoveOptions& options) {
  const bool has_client =
      std::any_of(snapshot.processes.begin(), snapshot.processes.end(), is_client);
  // A server draws for a client that gets each key, or that reads lines in its control mode.
  if (!has_client && (!plan.foreground || !is_raw(reader.old_terminal_fd())))
    return false;
  // Those of grab have copies of its descriptors.
  std::vector<pid_t> known = snapshot.self.lineage;
  known.push_back(::getpid());
  for (const proc::Process& process : snapshot.processes)
    known.push_back(process.stat.pid);
  const proc::Terminal& terminal = snapshot.old_terminal;
  std::vector<proc::Drawer> drawers = proc::drawers_on(terminal.name, known);
  bool added = false;
  if (has_client) {
    for (const proc::Drawer& drawer : drawers) {
      if (goes_along(drawer))
        GRAB_CHECK(reader.add_server(drawer.pid));
    }
    added = std::erase_if(drawers, goes_along) > 0;
  }
  GRAB_CHECK(check_drawers(drawers, terminal, options));
  return added;
}

}  // namespace grab::tracer
