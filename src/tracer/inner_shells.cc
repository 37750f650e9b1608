// SPDX-License-Identifier: MIT
#include "tracer/inner_shells.h"

#include <algorithm>
#include <csignal>

#include "tracer/old_shell.h"

namespace grab::tracer {
namespace {

using proc::Process;
using proc::Snapshot;

bool is_moved(const MovePlan& plan, const Process& process) {
  const ProcessPlan* found = plan.find(process.stat.pid);
  return found != nullptr && (found->role == Role::kRoot || found->role == Role::kFollower);
}

/// Of a session whose leader is not of the tree: what an earlier move has left behind there.
bool is_earlier_follower(const Snapshot& snapshot, const Process& process) {
  return process.stat.tty == 0 && !process.moved_fds.empty() &&
         snapshot.find(process.stat.sid) == nullptr;
}

/// Whether the process, which has the old terminal open, will have no controlling terminal.
bool lacks_terminal(const Snapshot& snapshot, const MovePlan& plan, const Process& process) {
  if (process.stat.pid == plan.root)
    return plan.topology == Topology::kKeepSession;
  if (process.stat.sid == process.stat.pid)
    return false;
  return process.stat.tty == snapshot.old_terminal.device || is_earlier_follower(snapshot, process);
}

/// A shell that manages jobs. Its numbers are ours only in our pid namespace.
bool manages_jobs(const Snapshot& snapshot, const Process& process) {
  return is_interactive_shell(process) && process.stat.pgid == process.stat.pid &&
         process.ns.pid == snapshot.self.ns.pid;
}

/// Cleans its screen at SIGTSTP and then stops itself. One that has done so has the default action
/// of that signal meanwhile (vim, less and curses set theirs again when they go on).
bool stops_itself(const Process& process) {
  if (process.moved_fds.empty() || is_interactive_shell(process))
    return false;
  return process.status.caught.has(SIGTSTP) ||
         (process.stat.state == 'T' && !process.status.ignored.has(SIGTSTP));
}

/// Jobs of root, a shell, that are of another session than root after the move.
void find_jobs(const Snapshot& snapshot, const MovePlan& plan, pid_t old_pgid, Guarding& guarding) {
  const pid_t sid = snapshot.find(plan.root)->stat.sid;
  for (const Process& process : snapshot.processes) {
    const proc::Stat& stat = process.stat;
    const bool other_session = plan.topology == Topology::kNewSession
                                   ? stat.sid == sid && stat.pgid != old_pgid
                                   : is_earlier_follower(snapshot, process);
    if (!is_moved(plan, process) || !other_session)
      continue;
    if (std::find(guarding.job_pgids.begin(), guarding.job_pgids.end(), stat.pgid) ==
        guarding.job_pgids.end())
      guarding.job_pgids.push_back(stat.pgid);
    if (stops_itself(process))
      guarding.self_stoppers.push_back({stat.pid, stat.start_time});
  }
}

}  // namespace

Guarding decide_guarding(const Snapshot& snapshot, const MovePlan& plan, pid_t old_pgid) {
  Guarding guarding;
  const Process& root = *snapshot.find(plan.root);
  if (plan.topology != Topology::kKeepSession && manages_jobs(snapshot, root))
    find_jobs(snapshot, plan, old_pgid, guarding);
  bool some_lack = false;
  for (const Process& process : snapshot.processes) {
    if (!is_moved(plan, process) || !manages_jobs(snapshot, process))
      continue;
    const bool lacks = lacks_terminal(snapshot, plan, process);
    if (lacks || process.stat.pid == plan.root)
      guarding.shells.push_back({{process.stat.pid, process.stat.start_time}, lacks});
    some_lack = some_lack || lacks;
  }
  if (!some_lack && guarding.job_pgids.empty())
    return {};
  guarding.root = plan.root;
  const pid_t front = snapshot.old_terminal.foreground_pgid;
  const bool kernel_has_it = plan.topology == Topology::kSessionLeader || front == old_pgid;
  if (plan.foreground && !kernel_has_it)
    guarding.front_pgid = front;
  return guarding;
}

}  // namespace grab::tracer
