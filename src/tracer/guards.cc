// SPDX-License-Identifier: MIT
#include "tracer/guards.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/front.h"
#include "proc/surroundings.h"

namespace grab::tracer {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

void pause_for_a_moment() {
  (void)poll(nullptr, 0, 1);
}

bool is_stopping(pid_t pid) {
  const auto stat = proc::stat_of(pid);
  return stat && std::strchr("tR", stat->state) != nullptr;
}

}  // namespace

std::string Guard::memory_path() const {
  return "/proc/" + std::to_string(pid) + "/fd/" + std::to_string(kGuardMemory);
}

std::optional<Guard> guard_of(pid_t tid) {
  const pid_t tracer = proc::tracer_of(tid);
  if (tracer == 0)
    return std::nullopt;
  const auto stat = proc::stat_of(tracer);
  const auto guard = proc::status_of(tracer), guarded = proc::status_of(tid);
  if (!stat || !guard || !guarded || !gives_way(stat->comm))
    return std::nullopt;
  const uid_t user = guard->uid.effective;
  const bool is_known = user == 0 || user == geteuid() || user == guarded->uid.real;
  return is_known ? std::optional(Guard{tracer, user}) : std::nullopt;
}

bool gives_way(const std::string& tracer_comm) {
  return tracer_comm == kJobGuardName || tracer_comm == kShellGuardName;
}

pid_t have_guard_give_way(pid_t tid, milliseconds limit) {
  const auto deadline = steady_clock::now() + limit;
  pid_t front = 0;
  for (pid_t asked = 0; steady_clock::now() < deadline; pause_for_a_moment()) {
    const auto guard = guard_of(tid);
    if (!guard)
      break;
    if (std::exchange(asked, guard->pid) == guard->pid)
      continue;
    if (const pid_t shown = Front::shown_at(guard->memory_path(), guard->user); shown != 0)
      front = shown;
    (void)kill(guard->pid, kGiveWay);
  }
  return front;
}

// Kernel: a tracee in a group-stop (state t) that loses its tracer runs for an instant (R) on its
// way into the stop (T). Source: kernel/ptrace.c __ptrace_unlink; seen.
std::optional<pid_t> have_guards_give_way(const proc::Snapshot& snapshot) {
  std::optional<pid_t> front;
  auto deadline = steady_clock::now() + kGuardAside;
  for (const proc::Process& process : snapshot.processes) {
    const auto left = std::chrono::duration_cast<milliseconds>(deadline - steady_clock::now());
    if (gives_way(process.tracer_comm))
      front = std::max(front.value_or(0), have_guard_give_way(process.stat.pid, left));
  }
  const auto is_in_front = [&](const proc::Process& process) { return process.stat.pgid == front; };
  if (front && std::none_of(snapshot.processes.begin(), snapshot.processes.end(), is_in_front))
    front = 0;  // the relay is to signal no group but one of the tree
  deadline = steady_clock::now() + kGuardAside;
  for (const proc::Process& process : snapshot.processes) {
    const bool stood = gives_way(process.tracer_comm) && process.stat.state == 't';
    while (stood && is_stopping(process.stat.pid) && steady_clock::now() < deadline)
      pause_for_a_moment();
  }
  return front;
}

}  // namespace grab::tracer
