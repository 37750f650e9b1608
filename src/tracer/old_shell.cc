// SPDX-License-Identifier: MIT
#include "tracer/old_shell.h"

#include <algorithm>
#include <array>
#include <csignal>
#include <string_view>

#include "base/text.h"
#include "tracer/guards.h"
#include "tracer/refusal.h"

namespace grab::tracer {
namespace {

using proc::Process;
using proc::Snapshot;

/// Whatever group they are in: one that an unfinished move has taken along is of the job, too.
std::vector<pid_t> children_of_job(const Snapshot& snapshot, pid_t parent) {
  std::vector<pid_t> children;
  for (const Process& process : snapshot.processes) {
    if (process.stat.ppid == parent && !process.is_zombie() && !process.serves)
      children.push_back(process.stat.pid);
  }
  return children;
}

/// What makes that shell forget the job: no job number, which is in its memory, is needed.
std::string disown_command(const Process& shell, pid_t root) {
  const std::string pid = std::to_string(root);
  if (shell.stat.comm == "xonsh")
    return "disown";  // of the last job; it takes no process id
  return shell.stat.comm == "zsh" ? "disown %${(k)jobstates[(R)*:" + pid + "=*]}" : "disown " + pid;
}

/// Shells whose running job outlives a closed window without being told (seen; no other end tried).
bool signals_no_job(const Process& shell) {
  constexpr std::array<std::string_view, 9> kNames = {"dash",  "ash",  "busybox", "mksh", "ksh",
                                                      "ksh93", "tcsh", "csh",     "yash"};
  return std::find(kNames.begin(), kNames.end(), shell.stat.comm) != kNames.end();
}

/// Shells that hang up no job that they know to have ended: all others, and bash is one, do so
/// until they have shown their next prompt.
bool forgets_at_once(const Process& shell) {
  return signals_no_job(shell) || shell.stat.comm == "zsh" || shell.stat.comm == "fish";
}

bool kills_stopped_jobs(const Process& shell) {
  return shell.stat.comm == "nu";
}

std::string advice_for(const Process& shell, pid_t root) {
  if (kills_stopped_jobs(shell))
    return "type `job unfreeze` in " + name_of(shell) +
           " if the job was stopped there: it kills such jobs when it is left";
  if (signals_no_job(shell))
    return name_of(shell) + " may go on listing its job, but signals none when it ends";
  return "type `" + disown_command(shell, root) + "` in " + name_of(shell) +
         " before its window is closed, since it hangs up the jobs that it knows";
}

/// One that another grab of ours is telling just now is waited for.
bool can_be_told(Process parent, const proc::Self& self) {
  if (parent.tracer_comm == kTracerName && may_ask_tracer(parent, self))
    parent.status.tracer = 0;
  return is_traceable(parent, self);
}

/// A leader under a shell of another session has been moved before. Whether that grab has told the
/// shell, nobody knows: telling it twice harms nothing.
bool is_shell_left_behind(const Process& parent, const Process& root) {
  return is_interactive_shell(parent) && parent.stat.sid != root.stat.sid && parent.stat.tty != 0 &&
         parent.stat.tty != root.stat.tty;
}

TellShell tell_again(TellShell tell) {
  tell.how = TellShell::How::kTold;
  tell.again = true;
  // If nobody has told it, it waits, and is to run nothing of what stands behind the job.
  tell.background = false;
  tell.wait_status = SIGINT;
  tell.why = "the shell that it has left before";
  return tell;
}

/// script(1) of util-linux, which is told at the end of a poll(2). One that was told in part waits
/// with no signal blocked.
bool is_script(const Process& keeper, bool told_in_part) {
  return keeper.stat.comm == "script" && (told_in_part || keeper.status.blocked.has(SIGCHLD));
}

/// It ends when it is told. A shell that has started it as a job breaks off the rest of the line
/// then, and of a session that it leads nothing is left; but others would go on too early.
TellShell decide_for_script(const Snapshot& snapshot, const Process& script, TellShell tell) {
  const auto& starter = snapshot.parents_parent;
  const bool is_job = starter && is_interactive_shell(*starter) &&
                      starter->stat.sid == script.stat.sid &&
                      starter->stat.pgid != script.stat.pgid;
  if (!is_job && script.stat.sid != script.stat.pid) {
    tell.how = TellShell::How::kNobody;
    tell.why = name_of(script) + " goes on waiting, as does what has started it";
    return tell;
  }
  tell.is_script = true;
  tell.wait_status = SIGINT;
  return tell;
}

TellShell decide_for_leader(const Snapshot& snapshot, const Process& parent, const Process& root,
                            TellShell tell) {
  const bool left_before = proc::contains(snapshot.earlier_ptmx_keepers, parent.stat.pid);
  // xterm, started in a terminal, has what else makes an interactive shell.
  if (!left_before && !proc::contains(snapshot.old_ptmx_keepers, parent.stat.pid)) {
    if (is_shell_left_behind(parent, root) && can_be_told(parent, snapshot.self)) {
      tell.guard = !forgets_at_once(parent);
      return tell_again(tell);
    }
    tell.why = "its parent " + name_of(parent) + " does not hold its terminal";
    return tell;
  }
  if (!can_be_told(parent, snapshot.self) ||
      proc::contains(snapshot.self.lineage, parent.stat.pid)) {
    tell.why = name_of(parent) + ", which holds the old terminal, cannot be told";
    return tell;
  }
  tell.how = TellShell::How::kTold;
  tell.wait_status = 0;  // as after `exit`: the old window closes in the ordinary way
  tell.guard = true;     // and xterm hangs up the group of its child, whether that has ended or not
  tell.again = left_before;  // it is still there, and may never have been told
  tell.why = "the keeper of " +
             std::string(left_before ? "a terminal that it has left before" : "the old terminal");
  return is_script(parent, left_before) ? decide_for_script(snapshot, parent, std::move(tell))
                                        : tell;
}

}  // namespace

bool is_interactive_shell(const Process& process) {
  const proc::Status& status = process.status;
  const bool survives_term = status.ignored.has(SIGTERM) || status.caught.has(SIGTERM);
  const bool takes_terminal =
      status.ignored.has(SIGTTOU) || (status.caught.has(SIGTTOU) && status.ignored.has(SIGTSTP));
  return survives_term && takes_terminal;
}

std::optional<Telling> to_telling(const TellShell& tell) {
  if (tell.how != TellShell::How::kTold)
    return std::nullopt;
  return Telling{tell.shell,       tell.shell_start_time, tell.job_pgid, tell.children,
                 tell.wait_status, tell.background,       tell.guard,    tell.again,
                 tell.is_script};
}

TellShell decide_telling(const Snapshot& snapshot, const Process& root, pid_t pgid, bool leader,
                         bool foreground) {
  TellShell tell;
  tell.job_pgid = pgid;
  if (!snapshot.parent || snapshot.parent->stat.pid <= 1) {
    tell.why = "nobody waits for it";
    return tell;
  }
  const Process& parent = *snapshot.parent;
  tell.shell = parent.stat.pid;
  tell.shell_start_time = parent.stat.start_time;
  tell.background = !leader && !foreground;
  tell.children = children_of_job(snapshot, parent.stat.pid);
  if (leader)
    return decide_for_leader(snapshot, parent, root, tell);
  if (!is_interactive_shell(parent) || parent.stat.sid != root.stat.sid ||
      parent.stat.pgid == pgid) {
    tell.why = name_of(parent) + " is not an interactive shell and goes on waiting";
    return tell;
  }
  tell.advice = advice_for(parent, root.stat.pid);
  tell.guard = !forgets_at_once(parent);
  if (!can_be_told(parent, snapshot.self)) {
    tell.how = foreground ? TellShell::How::kStopFirst : TellShell::How::kNobody;
    tell.why = name_of(parent) + " cannot be traced: " + tell.advice;
    return tell;
  }
  tell.how = TellShell::How::kTold;
  // It asks after a job that is stopped only when it is to go on.
  tell.by_hand_too = kills_stopped_jobs(parent) && root.stat.state == 'T';
  // Shells break off the rest of the command line after a job that SIGINT has ended, as after ^C; a
  // job in the background they only report, and "Hangup" is what has happened to its terminal.
  tell.wait_status = foreground ? SIGINT : SIGHUP;
  tell.why = "the shell";
  return tell;
}

}  // namespace grab::tracer
