// SPDX-License-Identifier: MIT
// What will be done to each process of a tree, decided from values alone: plan_move() makes no
// system call. A plan is data; --dry-run prints it (cli/describe.h) and execute.h carries it out.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/error.h"
#include "proc/snapshot.h"
#include "tracer/guarding.h"

namespace grab::tracer {

struct MoveOptions {
  bool whole_tree = false;    ///< --tree
  bool force = false;         ///< --force: try in spite of a seccomp filter
  bool force_stdio = false;   ///< --force-stdio: move 0-2 though no terminal is there
  bool keep_session = false;  ///< --keep-session
  bool keep_stopped = false;  ///< --keep-stopped: a stopped job stays stopped
  bool keep_job = false;      ///< --keep-job: leave the old shell's job table alone
  bool partial = false;       ///< --partial: leave those that may not be moved, move the others
  double timeout_s = 2.0;     ///< --timeout: the longest that the tree may take to freeze

  /// Of a tree that was moved before: whom that has parted from the named process.
  std::vector<proc::ProcessId> also = {};
  /// And the terminals that those may have been left on.
  std::vector<dev_t> also_from = {};
};

/// How root leaves the old terminal (docs/architecture.md has the three pictures).
enum class Topology {
  kNewSession,     ///< root makes a session of its own
  kSessionLeader,  ///< root is a session leader and takes the new terminal for its session
  kKeepSession,    ///< root stays in the old session, with no controlling terminal
};

// The steps, each something that a process does to itself.
namespace step {
/// setpgid(0, pgid). Undone by joining `undo_pgid` again.
struct JoinGroup {
  pid_t pgid = 0;
  pid_t undo_pgid = 0;
};
/// setpgid(0, pgid) of a process in a pid namespace where its group has no number: it cannot go
/// back. If the move is undone the group that it is in then becomes the foreground group, if
/// `front_pgid` is not 0.
struct Depart {
  pid_t pgid = 0;
  pid_t front_pgid = 0;
};
/// Every descriptor of the old terminal becomes one of the new pts, with its epoll entries.
struct MoveDescriptors {
  std::vector<proc::Descriptor> fds;
  std::vector<proc::EpollWatch> watches;
  std::vector<proc::StaleWatch> stale = {};
};
/// TIOCNOTTY of a process that is no session leader.
struct DropTerminal {};
/// setsid(2), after stepping into the group `via_pgid` of its session (0: not needed).
struct NewSession {
  pid_t via_pgid = 0;
};
/// The old terminal's foreground group becomes `to`. Undone by making it `front` again.
struct LeaveFront {
  pid_t to = 0;
  pid_t front = 0;
};
/// A session leader gives its terminal up: it is made the foreground group, TIOCNOTTY, and the
/// SIGHUP and SIGCONT that the kernel then sends to it are consumed (those not pending before).
struct LeaveAsLeader {
  bool consume_hup = true;
  bool consume_cont = true;
  pid_t foreground_pgid = 0;  ///< before; for undoing the first step
};
/// TIOCSCTTY on the new pts, then TIOCSPGRP if `foreground_pgid` is not 0.
struct TakeTerminal {
  pid_t foreground_pgid = 0;
};
}  // namespace step

using PrepareStep = std::variant<step::JoinGroup, step::MoveDescriptors>;
using CommitStep = std::variant<step::DropTerminal, step::NewSession, step::LeaveFront,
                                step::LeaveAsLeader, step::TakeTerminal, step::JoinGroup>;

enum class Role {
  kRoot,
  kFollower,   ///< existed before the move: it cannot join root's new session
  kServer,     ///< not of the tree: draws on its terminal, and does so on the new one afterwards
  kUntouched,  ///< of the tree, but with nothing of the old terminal
  kZombie,     ///< has ended, waits to be reaped
  kLeft,       ///< stays on the old terminal with --partial: the kernel does not let us move it
};

struct ProcessPlan {
  pid_t pid = 0;
  Role role = Role::kFollower;
  std::vector<PrepareStep> prepare;  ///< each can fail and each can be undone
  std::vector<CommitStep> commit;    ///< cannot be undone, so done when every prepare has succeeded
  std::string note;                  ///< what it cannot have afterwards and why; empty if nothing
  bool lacks_dev_tty = false;        ///< it cannot open /dev/tty afterwards, nor can what it starts
  std::optional<step::Depart> depart = {};  ///< when all have prepared, before the first commits
};

/// What the old shell is told after the move.
struct TellShell {
  enum class How {
    kNobody,     ///< there is no shell that waits for the job as such (a script goes on waiting)
    kTold,       ///< its wait call returns each of `children` with `wait_status`
    kStopFirst,  ///< it cannot be traced: stop the job as ^Z would, before, and SIGCONT it after
  };
  How how = How::kNobody;
  pid_t shell = 0;
  std::uint64_t shell_start_time = 0;  ///< with `shell`, an identity
  pid_t job_pgid = 0;                  ///< the job's group as the shell knows it
  std::vector<pid_t> children;         ///< its children of the job
  int wait_status = 0;
  bool background = false;   ///< the shell does not wait for the job just now
  bool guard = false;        ///< it hangs up jobs that have ended: see Telling
  bool again = false;        ///< an earlier grab may have told it
  bool is_script = false;    ///< as in Telling
  std::string why;           ///< for people
  std::string advice;        ///< what to do by hand if it can not be told
  bool by_hand_too = false;  ///< that is to be done in any case
};

/// Where the new pts takes its modes from.
enum class Modes {
  kOldTerminal,  ///< the job had the old terminal: as it had set them
  kSane,         ///< the old terminal shows the modes of the shell
};

struct MovePlan {
  Topology topology = Topology::kNewSession;
  std::string topology_why;  ///< set where it is not what one would expect
  pid_t root = 0;
  std::vector<ProcessPlan>
      processes;            ///< in the order in which they prepare; root is the first to commit
  bool foreground = false;  ///< the job had the old terminal
  Modes modes = Modes::kOldTerminal;
  bool carry_type_ahead = false;    ///< what nobody has read of the old terminal goes along
  bool clean_old_terminal = false;  ///< nobody who stays shares the screen with the job
  std::vector<pid_t> leave_screen;  ///< full-screen programs: SIGTSTP before the freeze
  std::vector<pid_t> redraw;        ///< to be made to redraw by a size changed and changed back
  TellShell tell;
  std::vector<pid_t> continue_after;  ///< were stopped: SIGCONT after the move
  // For the relay:
  pid_t job_pgid = 0;  ///< root's group after the move
  std::vector<pid_t>
      follower_pgids;    ///< groups of root's job after the move that the pts does not signal
  Guarding guarding;     ///< of the interactive shells of the tree
  pid_t status_pid = 0;  ///< whose exit status is the tree's
  std::vector<std::string> warnings;
  [[nodiscard]] const ProcessPlan* find(pid_t pid) const;
};

/// Decides the whole move. Errors (nothing is changed by any): kRefused, kUnsupported, kPermission,
/// each with a sentence that names the process and the reason, and a hint at what would help.
[[nodiscard]] Result<MovePlan> plan_move(const proc::Snapshot& snapshot,
                                         const MoveOptions& options);

/// "4711 (make)", safe to print.
[[nodiscard]] std::string name_of(const proc::Process& process);

}  // namespace grab::tracer
