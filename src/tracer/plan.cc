// SPDX-License-Identifier: MIT
#include "tracer/plan.h"

#include <algorithm>
#include <csignal>
#include <iterator>
#include <set>
#include <utility>

#include "base/text.h"
#include "proc/pid_numbers.h"
#include "tracer/inner_shells.h"
#include "tracer/losses.h"
#include "tracer/old_shell.h"
#include "tracer/refusal.h"

namespace grab::tracer {
namespace {

using proc::Process;
using proc::Snapshot;

/// What every part of the planning looks at.
struct Scene {
  const Snapshot& snapshot;
  const MoveOptions& options;
  const Process& root;
  pid_t old_pgid = 0;  ///< root's group before the move
  bool foreground = false;
  /// The live processes that share root's group, without root, in the order of the snapshot.
  std::vector<const Process*> companions;
};

/// Whether the process lives and is moved, or at least could be.
bool takes_part(const Scene& scene, const Process& process) {
  return !process.is_zombie() && !stays_behind(process, scene.snapshot, scene.options);
}

bool in_terminal_session(const Scene& scene, const Process& process) {
  const dev_t tty = process.stat.tty;
  return tty != 0 &&
         (tty == scene.snapshot.old_terminal.device || tty == scene.snapshot.left_terminal.device);
}

/// Whether a move that was broken off has taken the process to the new terminal.
bool is_there_already(const Snapshot& snapshot, const Process& process) {
  return snapshot.new_terminal != 0 && process.stat.tty == snapshot.new_terminal;
}

bool is_session_leader(const Process& process) {
  return process.stat.sid == process.stat.pid;
}
bool is_group_leader(const Process& process) {
  return process.stat.pgid == process.stat.pid;
}

/// The leader of the named process's job if it is of the tree, and not one that the named process
/// has started (a move that kept the session has made such a one leader), else the named process.
const Process& find_root(const Snapshot& snapshot, const MoveOptions& options) {
  const Process& named = *snapshot.find(snapshot.named);
  if (!options.whole_tree)
    return named;
  const bool names_a_job = !snapshot.parent || snapshot.parent->stat.pgid != named.stat.pgid;
  const Process* leader = snapshot.find(named.stat.pgid);
  const bool usable = leader != nullptr && !leader->is_zombie() && is_group_leader(*leader) &&
                      snapshot.find(leader->stat.ppid) == nullptr &&
                      !stays_behind(*leader, snapshot, options);
  return names_a_job && usable ? *leader : named;
}

std::vector<const Process*> group_companions(const Scene& scene) {
  std::vector<const Process*> companions;
  if (!scene.options.whole_tree)
    return companions;
  for (const Process& process : scene.snapshot.processes) {
    if (process.stat.pid != scene.root.stat.pid && takes_part(scene, process) &&
        process.stat.pgid == scene.old_pgid) {
      companions.push_back(&process);
    }
  }
  return companions;
}

/// What `seer` calls the process or group `pid`, 0 if it has no number for it.
pid_t number_for(const Scene& scene, const Process& seer, pid_t pid) {
  return pid == 0 ? 0 : proc::number_for(scene.snapshot, seer, pid);
}

/// The group that root's companions in this one's pid namespace go into together, 0 if there are
/// none. It is named after the first of them: for one from elsewhere they might have no number.
pid_t new_group(const Scene& scene, const Process& process) {
  for (const Process* companion : scene.companions) {
    if (companion->ns.pid == process.ns.pid)
      return companion->stat.pid;
  }
  return 0;
}

/// One of the new groups that root can go into, too; 0 if there is none.
pid_t new_group_for_root(const Scene& scene) {
  for (const Process* companion : scene.companions) {
    const pid_t pgid = new_group(scene, *companion);
    if (number_for(scene, scene.root, pgid) != 0)
      return pgid;
  }
  return 0;
}

std::set<pid_t> new_groups(const Scene& scene) {
  std::set<pid_t> groups;
  for (const Process* companion : scene.companions)
    groups.insert(new_group(scene, *companion));
  return groups;
}

/// Whether the process leaves its group in the move, as root's companions do.
bool leaves_group(const Scene& scene, const Process& process) {
  return scene.options.whole_tree && takes_part(scene, process) &&
         process.stat.pgid == scene.old_pgid;
}

/// Who keeps a process group with root's pid in being after root has left it; empty if nobody.
// Kernel: setsid(2) fails with EPERM as long as any process, a zombie too, is in the group whose
// number is the caller's pid -> root cannot make a session then. Source: kernel/sys.c ksys_setsid;
// seen.
std::string holder_of_group(const Scene& scene) {
  const pid_t pgid = scene.root.stat.pid;
  for (const Process& process : scene.snapshot.processes) {
    if (process.stat.pgid == pgid && process.is_zombie()) {
      return "the zombie " + name_of(process) + " holds its process group";
    }
    if (process.stat.pgid == pgid && process.stat.pid != pgid && !leaves_group(scene, process)) {
      return name_of(process) + " holds the process group of that number";
    }
  }
  for (const proc::Outsider& outsider : scene.snapshot.outsiders) {
    if (outsider.pgid == pgid) {
      return "process " + std::to_string(outsider.pid) +
             ", which is not of the tree, holds its process group";
    }
  }
  return {};
}

/// A group of root's session that root can step into before setsid(2), 0 if there is none.
pid_t stepping_stone(const Scene& scene) {
  if (const pid_t pgid = new_group_for_root(scene); pgid != 0)
    return pgid;
  const auto usable = [&scene](pid_t pgid) {
    return pgid != scene.root.stat.pgid && number_for(scene, scene.root, pgid) != 0;
  };
  const auto& parent = scene.snapshot.parent;
  if (parent && parent->stat.sid == scene.root.stat.sid && usable(parent->stat.pgid))
    return parent->stat.pgid;
  for (const pid_t pgid : scene.snapshot.session_pgids) {
    if (usable(pgid))
      return pgid;
  }
  for (const Process& process : scene.snapshot.processes) {
    if (!process.is_zombie() && process.stat.sid == scene.root.stat.sid &&
        usable(process.stat.pgid)) {
      return process.stat.pgid;
    }
  }
  return 0;
}

void decide_topology(const Scene& scene, MovePlan& plan) {
  if (is_session_leader(scene.root)) {
    plan.topology = Topology::kSessionLeader;
    if (scene.options.keep_session)
      plan.topology_why = "a session leader keeps its session anyway";
    return;
  }
  plan.topology = Topology::kKeepSession;
  if (scene.options.keep_session) {
    plan.topology_why = "asked for by --keep-session";
    return;
  }
  plan.topology_why = holder_of_group(scene);
  if (!plan.topology_why.empty())
    return;
  if (is_group_leader(scene.root) && stepping_stone(scene) == 0) {
    plan.topology_why = "its session has no other process group to step into";
    return;
  }
  plan.topology = Topology::kNewSession;
}

void add_descriptors(const Process& process, ProcessPlan& plan) {
  if (process.fd_table_of != process.stat.pid || process.moved_fds.empty())
    return;
  std::vector<proc::StaleWatch> stale;
  std::copy_if(process.stale_watches.begin(), process.stale_watches.end(),
               std::back_inserter(stale),
               [](const proc::StaleWatch& watch) { return why_left(watch) == nullptr; });
  plan.prepare.emplace_back(
      step::MoveDescriptors{process.moved_fds, process.epoll_watches, std::move(stale)});
}

// Kernel: a terminal whose foreground group has left its session still signals that group, by ^C
// and when it is hung up, and so it does if there comes a group of that number again in whatever
// session -> the group of who waits for the job gets the foreground back before the job leaves, as
// it would take it by itself. Source: drivers/tty/tty_jobctrl.c tty_signal_session_leader,
// disassociate_ctty, drivers/tty/n_tty.c isig; seen: a script under `set -m` never takes it; a root
// that was kept in its session at first and made one of its own in a second move was hung up.
void leave_front(const Scene& scene, ProcessPlan& plan) {
  const auto& parent = scene.snapshot.parent;
  const pid_t front = scene.snapshot.old_terminal.foreground_pgid;
  // Who stays there with --partial keeps the foreground, and is typed to as before.
  const auto& processes = scene.snapshot.processes;
  const bool is_left = std::any_of(processes.begin(), processes.end(), [&](const Process& process) {
    return process.stat.pgid == front && !process.is_zombie() && !takes_part(scene, process);
  });
  if (scene.foreground && !is_left && in_terminal_session(scene, scene.root) && parent &&
      parent->stat.sid == scene.root.stat.sid && parent->stat.pgid != front)
    plan.commit.emplace_back(step::LeaveFront{parent->stat.pgid, front});
}

ProcessPlan plan_root(const Scene& scene, Topology topology) {
  const proc::Stat& stat = scene.root.stat;
  ProcessPlan plan{.pid = stat.pid, .role = Role::kRoot, .prepare = {}, .commit = {}, .note = {}};
  add_descriptors(scene.root, plan);
  switch (topology) {
    case Topology::kNewSession:
      leave_front(scene, plan);
      plan.commit.emplace_back(
          step::NewSession{is_group_leader(scene.root) ? stepping_stone(scene) : 0});
      plan.commit.emplace_back(step::TakeTerminal{});
      break;
    case Topology::kSessionLeader: {
      if (is_there_already(scene.snapshot, scene.root))
        break;
      const proc::Status& status = scene.root.status;
      const auto pending = [&](int signo) {
        return status.pending.has(signo) || status.shared_pending.has(signo);
      };
      if (in_terminal_session(scene, scene.root)) {
        plan.commit.emplace_back(step::LeaveAsLeader{!pending(SIGHUP), !pending(SIGCONT),
                                                     scene.snapshot.old_terminal.foreground_pgid});
      }
      const pid_t front = scene.snapshot.old_terminal.foreground_pgid;
      plan.commit.emplace_back(step::TakeTerminal{scene.foreground ? front : stat.pid});
      break;
    }
    case Topology::kKeepSession:
      leave_front(scene, plan);
      // The last to leave the old group: before, every follower could be sent back to it.
      if (const pid_t pgid = new_group_for_root(scene); pgid != 0)
        plan.commit.emplace_back(step::JoinGroup{pgid, scene.old_pgid});
      if (in_terminal_session(scene, scene.root))
        plan.commit.emplace_back(step::DropTerminal{});
      plan.note = "no controlling terminal, nor have its children: they cannot open /dev/tty";
      plan.lacks_dev_tty = true;
      break;
  }
  return plan;
}

void add_note(ProcessPlan& plan, const char* note) {
  plan.note += plan.note.empty() ? note : std::string("; ") + note;
}

step::Depart depart_for(const Scene& scene, const Process& process) {
  const pid_t pgid = new_group(scene, process);
  const bool in_front =
      scene.foreground && scene.snapshot.old_terminal.foreground_pgid == scene.old_pgid;
  return {pgid, in_front ? pgid : 0};
}

ProcessPlan plan_follower(const Scene& scene, const Process& process, Topology topology) {
  ProcessPlan plan{
      .pid = process.stat.pid, .role = Role::kFollower, .prepare = {}, .commit = {}, .note = {}};
  add_descriptors(process, plan);
  const bool companion = process.stat.pgid == scene.old_pgid && !scene.companions.empty();
  const bool can_come_back = number_for(scene, process, scene.old_pgid) != 0;
  const bool has_terminal = in_terminal_session(scene, process);
  if (companion && can_come_back)
    plan.prepare.emplace_back(step::JoinGroup{new_group(scene, process), scene.old_pgid});
  else if (companion)
    plan.depart = depart_for(scene, process);
  if (topology == Topology::kSessionLeader && process.stat.sid == scene.root.stat.sid) {
    // The leader's TIOCNOTTY takes the terminal from the whole session, and hangs up the leader's
    // group: nobody else may be in it at that moment.
    if (companion && can_come_back)
      plan.commit.emplace_back(step::JoinGroup{scene.old_pgid, scene.old_pgid});
    plan.lacks_dev_tty = has_terminal;
    if (has_terminal)
      plan.note = "job control as before, but it and its children cannot open /dev/tty";
  } else if (has_terminal && !is_session_leader(process)) {
    plan.commit.emplace_back(step::DropTerminal{});
    plan.lacks_dev_tty = true;
    plan.note = "no controlling terminal, nor have its children: they cannot open /dev/tty";
  } else if (has_terminal) {
    plan.note = "a session leader of its own: it keeps the old terminal as controlling terminal";
  }
  if (plan.prepare.empty() && plan.commit.empty() && !plan.depart)
    plan.role = Role::kUntouched;
  else if (process.ns.mount != scene.snapshot.self.ns.mount)
    add_note(plan, "in a container, where tty(1) and ttyname(3) may find no name for its terminal");
  return plan;
}

/// A server goes on in its session, with all else that it serves.
ProcessPlan plan_server(const Process& process) {
  ProcessPlan plan{
      .pid = process.stat.pid,
      .role = Role::kServer,
      .prepare = {},
      .commit = {},
      .note = "draws for its client here; its other clients, and what runs in it, notice nothing"};
  add_descriptors(process, plan);
  return plan;
}

/// The processes in the order of their prepare: those that the new groups are named after come
/// first, root last.
std::vector<ProcessPlan> plan_processes(const Scene& scene, Topology topology) {
  std::vector<ProcessPlan> plans;
  for (const Process& process : scene.snapshot.processes) {
    if (process.stat.pid == scene.root.stat.pid)
      continue;
    if (process.is_zombie()) {
      plans.push_back({process.stat.pid, Role::kZombie, {}, {}, "has ended; waits to be reaped"});
    } else if (!takes_part(scene, process)) {
      plans.push_back(
          {process.stat.pid, Role::kLeft, {}, {}, why_not_traceable(process, scene.snapshot.self)});
    } else if (process.serves) {
      plans.push_back(plan_server(process));
    } else if (!scene.options.whole_tree) {
      plans.push_back({process.stat.pid, Role::kUntouched, {}, {}, "not on this terminal"});
    } else {
      plans.push_back(plan_follower(scene, process, topology));
    }
  }
  const std::set<pid_t> leaders = new_groups(scene);
  std::stable_partition(plans.begin(), plans.end(),
                        [&](const ProcessPlan& plan) { return leaders.count(plan.pid) != 0; });
  plans.push_back(plan_root(scene, topology));
  return plans;
}

bool is_foreground(const Snapshot& snapshot, const Process& root, pid_t old_pgid) {
  const pid_t front = snapshot.old_terminal.foreground_pgid;
  if (front <= 0 || snapshot.old_terminal.device == 0 ||
      root.stat.tty != snapshot.old_terminal.device) {
    return false;
  }
  if (front == old_pgid)
    return true;
  return std::any_of(
      snapshot.processes.begin(), snapshot.processes.end(),
      [&](const Process& process) { return process.stat.pgid == front && !process.is_zombie(); });
}

bool is_stopped(const Process& process) {
  return process.stat.state == 'T';
}

/// Programs of the foreground job that take part in what happens to the screen.
void plan_screen(const Scene& scene, MovePlan& plan) {
  if (!scene.foreground || is_stopped(scene.root))
    return;
  const pid_t front = scene.snapshot.old_terminal.foreground_pgid;
  for (const Process& process : scene.snapshot.processes) {
    if (!takes_part(scene, process) || process.stat.pgid != front || process.moved_fds.empty())
      continue;
    if (process.status.caught.has(SIGTSTP) && !is_stopped(process)) {
      plan.leave_screen.push_back(process.stat.pid);
    }
    if (process.status.caught.has(SIGWINCH))
      plan.redraw.push_back(process.stat.pid);
  }
}

/// Whether the old terminal is left to a shell that waits for all of the foreground job.
bool leaves_screen_behind(const Scene& scene, const MovePlan& plan) {
  // A shell that saw its job stop has its prompt there by then.
  if (plan.modes != Modes::kOldTerminal || plan.tell.how == TellShell::How::kStopFirst)
    return false;
  const pid_t front = scene.snapshot.old_terminal.foreground_pgid;
  const auto& outsiders = scene.snapshot.outsiders;
  const bool parent_stays = scene.snapshot.parent && scene.snapshot.parent->stat.pgid == front;
  return !parent_stays &&
         std::none_of(outsiders.begin(), outsiders.end(),
                      [&](const proc::Outsider& other) { return other.pgid == front; });
}

/// The groups of the followers that an earlier move left in another session: root leads its own
/// since then.
std::set<pid_t> earlier_followers(const Scene& scene) {
  std::set<pid_t> groups;
  if (is_interactive_shell(scene.root))
    return groups;
  for (const Process& process : scene.snapshot.processes) {
    const pid_t sid = process.stat.sid;
    if (takes_part(scene, process) && !process.moved_fds.empty() && sid != scene.root.stat.sid &&
        scene.snapshot.find(sid) == nullptr) {
      groups.insert(process.stat.pgid);
    }
  }
  return groups;
}

/// What the relay has to know of groups.
void plan_groups(const Scene& scene, MovePlan& plan) {
  std::set<pid_t> followers;
  switch (plan.topology) {
    case Topology::kNewSession:
      plan.job_pgid = scene.root.stat.pid;
      followers = new_groups(scene);
      break;
    case Topology::kSessionLeader:
      plan.job_pgid = scene.root.stat.pid;
      followers = earlier_followers(scene);
      for (const ProcessPlan& process : plan.processes) {
        if (process.depart)
          followers.insert(process.depart->pgid);
      }
      break;
    case Topology::kKeepSession:
      plan.job_pgid = new_group_for_root(scene);
      if (plan.job_pgid == 0)
        plan.job_pgid = scene.old_pgid;
      followers = new_groups(scene);
      followers.erase(plan.job_pgid);
      break;
  }
  const pid_t front = scene.snapshot.old_terminal.foreground_pgid;
  if (plan.topology != Topology::kSessionLeader && scene.foreground && front != scene.old_pgid &&
      plan.guarding.shells.empty())  // else the guard knows what is in front, then and later
    followers.insert(front);
  plan.follower_pgids.assign(followers.begin(), followers.end());
  plan.guarding.job_pgid = plan.job_pgid;
}

/// The last command of a pipeline gives a job its status, as shells have it.
pid_t find_status_pid(const Scene& scene, const TellShell& tell) {
  const Process* last = &scene.root;
  for (const pid_t pid : tell.children) {
    const Process* process = scene.snapshot.find(pid);
    if (process->stat.start_time > last->stat.start_time ||
        (process->stat.start_time == last->stat.start_time && process->stat.pid > last->stat.pid)) {
      last = process;
    }
  }
  return last->stat.pid;
}

/// Stopped jobs of a shell in the tree are that shell's; the job that is moved goes on.
void plan_continuing(const Scene& scene, MovePlan& plan) {
  if (scene.options.keep_stopped)
    return;
  std::set<pid_t> job = earlier_followers(scene);
  job.insert(scene.old_pgid);
  for (const Process& process : scene.snapshot.processes) {
    if (is_stopped(process) && takes_part(scene, process) && job.count(process.stat.pgid) != 0)
      plan.continue_after.push_back(process.stat.pid);
  }
}

/// What is left behind must not come to harm: it keeps its terminal, what is typed there, and a
/// shell that waits for it.
void spare_what_stays(const Scene& scene, MovePlan& plan) {
  for (const Process& process : scene.snapshot.processes) {
    const ProcessPlan* left = plan.find(process.stat.pid);
    if (left == nullptr || left->role != Role::kLeft)
      continue;
    plan.warnings.push_back("left where it is: " + left->note);
    if (process.stat.pgid != scene.old_pgid &&
        process.stat.pgid != scene.snapshot.old_terminal.foreground_pgid)
      continue;
    plan.modes = Modes::kSane;
    plan.carry_type_ahead = false;
    plan.tell = {};
    plan.tell.why = name_of(process) + " stays on its terminal, and the shell waits for it";
  }
}

// Kernel: TIOCNOTTY of a session leader takes the terminal from all its session -> one that stays
// behind would lose it. Source: drivers/tty/tty_jobctrl.c session_clear_tty.
Status check_session_of_left(const Scene& scene) {
  if (!is_session_leader(scene.root))
    return {};
  for (const Process& process : scene.snapshot.processes) {
    if (!stays_behind(process, scene.snapshot, scene.options) ||
        process.stat.sid != scene.root.stat.sid)
      continue;
    return fail(ErrorKind::kPermission,
                name_of(process) + ", which may not be moved, would lose its terminal with " +
                    name_of(scene.root) + ", the leader of its session",
                "run grab as root");
  }
  return {};
}

// See leave_front(): a root that has no number for its parent's group cannot leave the terminal
// to that, and would go on getting the old terminal's ^C and hang-up.
Status check_front_can_be_left(const Scene& scene) {
  const auto& parent = scene.snapshot.parent;
  if (is_session_leader(scene.root) || !scene.foreground || !parent ||
      !in_terminal_session(scene, scene.root) || parent->stat.sid != scene.root.stat.sid ||
      number_for(scene, scene.root, parent->stat.pgid) != 0) {
    return {};
  }
  return fail(ErrorKind::kRefused,
              name_of(scene.root) + " is in a container, and of the job of " + name_of(*parent) +
                  ", which waits for it outside of that",
              "grab --tree " + std::to_string(parent->stat.pid) + " moves both");
}

// Kernel: a session leader takes no second controlling terminal, and the named process, which has
// given up the first, does not tell which that is. Source: drivers/tty/tty_jobctrl.c tiocsctty.
Status check_terminal_of_root(const Snapshot& snapshot, const Process& root) {
  if (!is_session_leader(root) || root.stat.tty == 0 ||
      root.stat.tty == snapshot.old_terminal.device || is_there_already(snapshot, root)) {
    return {};
  }
  return fail(ErrorKind::kRefused,
              name_of(root) + " leads a session on another terminal than the one that " +
                  name_of(*snapshot.find(snapshot.named)) + " has open",
              "grab --tree " + std::to_string(root.stat.pid) + " moves what is on its terminal");
}

}  // namespace

const ProcessPlan* MovePlan::find(pid_t pid) const {
  const auto found = std::find_if(processes.begin(), processes.end(),
                                  [pid](const ProcessPlan& plan) { return plan.pid == pid; });
  return found == processes.end() ? nullptr : &*found;
}

std::string name_of(const Process& process) {
  return std::to_string(process.stat.pid) + " (" + printable(process.stat.comm) + ")";
}

Result<MovePlan> plan_move(const Snapshot& snapshot, const MoveOptions& options) {
  GRAB_CHECK(check_movable(snapshot, options));
  const Process& root = find_root(snapshot, options);
  GRAB_CHECK(check_terminal_of_root(snapshot, root));
  Scene scene{snapshot, options, root, root.stat.pgid, false, {}};
  scene.foreground = is_foreground(snapshot, root, scene.old_pgid);
  scene.companions = group_companions(scene);
  GRAB_CHECK(check_session_of_left(scene));
  GRAB_CHECK(check_front_can_be_left(scene));

  MovePlan plan;
  plan.root = root.stat.pid;
  plan.foreground = scene.foreground;
  decide_topology(scene, plan);
  plan.processes = plan_processes(scene, plan.topology);
  plan.modes = scene.foreground && !is_stopped(root) ? Modes::kOldTerminal : Modes::kSane;
  plan.carry_type_ahead = plan.modes == Modes::kOldTerminal;
  plan_screen(scene, plan);
  plan.guarding = decide_guarding(snapshot, plan, scene.old_pgid);
  plan_groups(scene, plan);
  plan_continuing(scene, plan);
  plan.tell = decide_telling(snapshot, root, scene.old_pgid,
                             plan.topology == Topology::kSessionLeader, scene.foreground);
  spare_what_stays(scene, plan);
  for (std::string& loss : losses(snapshot, options))
    plan.warnings.push_back(std::move(loss));
  plan.clean_old_terminal = leaves_screen_behind(scene, plan);
  const bool shell_untold = plan.tell.how == TellShell::How::kNobody && snapshot.parent &&
                            is_interactive_shell(*snapshot.parent);
  if (shell_untold && plan.topology != Topology::kSessionLeader)
    plan.warnings.push_back("the old shell is not told that its job has gone: " + plan.tell.why);
  if (plan.tell.by_hand_too)
    plan.warnings.push_back(plan.tell.advice);
  if (options.keep_job) {
    plan.tell.how = TellShell::How::kNobody;
    plan.tell.why = "asked for by --keep-job";
  }
  plan.status_pid = find_status_pid(scene, plan.tell);
  return plan;
}

}  // namespace grab::tracer
