// SPDX-License-Identifier: MIT
#include "cli/describe.h"

#include <algorithm>
#include <vector>

#include "base/text.h"
#include "cli/layout.h"
#include "cli/outcome.h"

namespace grab::cli {
namespace {

using tracer::MovePlan;
using tracer::ProcessPlan;
using tracer::Role;
namespace step = tracer::step;

constexpr std::size_t kColumns = 80;  // what every terminal has
constexpr std::size_t kLabelColumns = 10;

std::string line(std::string_view label, std::string_view text) {
  return wrap(pad(label, kLabelColumns), text, kColumns);
}

std::string command_of(const proc::Process& process) {
  const std::string& text = process.command.empty() ? process.stat.comm : process.command;
  return printable(text);
}

std::string terminal_of(const proc::Snapshot& snapshot) {
  return snapshot.old_terminal.device == 0 ? "no terminal" : printable(snapshot.old_terminal.name);
}

std::string names_of(const proc::Snapshot& snapshot, const std::vector<pid_t>& pids) {
  std::vector<std::string> names;
  names.reserve(pids.size());
  for (const pid_t pid : pids)
    names.push_back(name_of(snapshot, pid));
  return join_words(names);
}

bool contains(const std::vector<pid_t>& pids, pid_t pid) {
  return std::find(pids.begin(), pids.end(), pid) != pids.end();
}

std::string headline(const proc::Snapshot& snapshot, const MovePlan& plan) {
  const std::size_t count = count_moved(plan);
  std::string text = "The plan: " + name_of(snapshot, snapshot.named);
  if (count != 1)
    text += " and its tree, " + std::to_string(count) + " processes,";
  text += count == 1 ? " moves" : " move";
  text += snapshot.old_terminal.device == 0 ? "" : " from " + terminal_of(snapshot);
  return wrap("", text + " to this terminal.", kColumns) + "\n";
}

std::string session_text(const proc::Snapshot& snapshot, const MovePlan& plan) {
  const std::string root = name_of(snapshot, plan.root);
  const bool followers =
      std::any_of(plan.processes.begin(), plan.processes.end(),
                  [](const ProcessPlan& process) { return process.role == Role::kFollower; });
  std::string text;
  switch (plan.topology) {
    case tracer::Topology::kNewSession:
      text = root + " makes a session of its own on the new terminal";
      if (followers)
        text +=
            ", and what it starts from then on is born in it; the others stay in their sessions "
            "without a controlling terminal, and grab passes the signals of the keyboard on";
      break;
    case tracer::Topology::kSessionLeader:
      text = root + " leads its session and takes the new terminal for it; its jobs stay its jobs";
      break;
    case tracer::Topology::kKeepSession:
      text = root +
             " stays in its session, with no controlling terminal; grab passes the signals of the "
             "keyboard on";
      break;
  }
  if (!plan.topology_why.empty())
    text += " (" + printable(plan.topology_why) + ")";
  return text;
}

std::string job_text(const proc::Snapshot& snapshot, const MovePlan& plan) {
  std::string text = "group " + std::to_string(plan.job_pgid) + " afterwards; now ";
  if (snapshot.old_terminal.device == 0)
    text += "on no terminal";
  else if (plan.foreground)
    text += "in the foreground of " + terminal_of(snapshot);
  else
    text += "in the background of " + terminal_of(snapshot) + ", or stopped";
  text += plan.modes == tracer::Modes::kOldTerminal
              ? "; the modes of the old terminal go along"
              : "; the new terminal begins with the usual modes";
  if (plan.carry_type_ahead)
    text += ", and so does what was typed and nobody has read";
  return text;
}

std::string shell_text(const proc::Snapshot& snapshot, const MovePlan& plan) {
  const tracer::TellShell& tell = plan.tell;
  const std::string shell = name_of(snapshot, tell.shell);
  const std::string why = printable(tell.why);
  switch (tell.how) {
    case tracer::TellShell::How::kNobody:
      return "nobody is told that the job has gone" + (why.empty() ? "" : " (" + why + ")");
    case tracer::TellShell::How::kTold:
      return shell + (why.empty() ? "" : ", " + why + ",") + " is told that " +
             names_of(snapshot, tell.children) + " " + describe_wait_status(tell.wait_status) +
             ", so that it forgets the job; nothing of it has ended";
    case tracer::TellShell::How::kStopFirst:
      return shell + " can not be told" + (why.empty() ? "" : " (" + why + ")") + ": the group " +
             std::to_string(tell.job_pgid) +
             " is stopped before the move, as by ^Z, and continued after it";
  }
  return {};
}

/// The first few of them by name.
std::string some_names(const proc::Snapshot& snapshot, const std::vector<pid_t>& pids) {
  constexpr std::size_t kNamed = 3;
  if (pids.size() <= kNamed)
    return names_of(snapshot, pids);
  std::string names;
  for (std::size_t i = 0; i < kNamed; ++i)
    names += name_of(snapshot, pids[i]) + ", ";
  return names + "and " + std::to_string(pids.size() - kNamed) + " more";
}

std::string passwords_text(const proc::Snapshot& snapshot, const MovePlan& plan) {
  std::vector<pid_t> pids;
  for (const ProcessPlan& process : plan.processes) {
    if (process.lacks_dev_tty)
      pids.push_back(process.pid);
  }
  if (pids.empty())
    return {};
  return "what " + some_names(snapshot, pids) + (pids.size() == 1 ? " starts" : " start") +
         " finds no /dev/tty, where ssh, sudo, git and gpg ask for passwords: let them ask before "
         "the grab, or elsewhere (ssh-agent, sudo -A, a graphical pinentry)" +
         (contains(pids, plan.root)
              ? ""
              : "; what " + name_of(snapshot, plan.root) + " itself starts finds it");
}

std::string jobs_text(const proc::Snapshot& snapshot, const MovePlan& plan) {
  std::vector<pid_t> shells;
  for (const tracer::Guarding::Shell& shell : plan.guarding.shells)
    shells.push_back(shell.pid);
  if (shells.empty())
    return {};
  return some_names(snapshot, shells) + (shells.size() == 1 ? " is" : " are") +
         " traced from then on (by grab-jobs) as long as jobs live that the kernel would not let " +
         (shells.size() == 1 ? "it" : "them") + " bring to the front";
}

struct InWords {
  pid_t pid = 0;

  std::string operator()(const step::JoinGroup& join) const {
    return join.pgid == pid ? "makes the group " + std::to_string(join.pgid)
                            : "joins the group " + std::to_string(join.pgid);
  }
  std::string operator()(const step::MoveDescriptors& move) const {
    if (move.fds.empty())
      return {};
    std::vector<int> numbers;
    for (const proc::Descriptor& fd : move.fds)
      numbers.push_back(fd.fd);
    std::string text = (numbers.size() == 1 ? "moves descriptor " : "moves descriptors ");
    text += join_ranges(numbers);
    if (!move.watches.empty() || !move.stale.empty())
      text += " and what watches them by epoll";
    return text;
  }
  std::string operator()(const step::DropTerminal& /*drop*/) const {
    return "gives up its controlling terminal";
  }
  std::string operator()(const step::NewSession& session) const {
    if (session.via_pgid == 0)
      return "makes a session of its own";
    return "makes a session of its own by way of the group " + std::to_string(session.via_pgid);
  }
  std::string operator()(const step::LeaveFront& leave) const {
    return "leaves the foreground of its terminal to the group " + std::to_string(leave.to);
  }
  std::string operator()(const step::LeaveAsLeader& /*leave*/) const {
    return "gives up the terminal of its session";
  }
  std::string operator()(const step::TakeTerminal& take) const {
    std::string text = "takes the new terminal";
    if (take.foreground_pgid != 0)
      text += " with the group " + std::to_string(take.foreground_pgid) + " in its foreground";
    return text;
  }
};

std::string steps_text(const MovePlan& plan, const ProcessPlan& process) {
  const InWords in_words{process.pid};
  std::vector<std::string> steps;
  if (contains(plan.leave_screen, process.pid))
    steps.emplace_back("cleans the old screen and stops (SIGTSTP)");
  for (const tracer::PrepareStep& one : process.prepare)
    steps.push_back(std::visit(in_words, one));
  if (process.depart)
    steps.push_back(in_words(step::JoinGroup{process.depart->pgid, 0}) + " for good");
  for (const tracer::CommitStep& one : process.commit)
    steps.push_back(std::visit(in_words, one));
  if (contains(plan.continue_after, process.pid))
    steps.emplace_back("is continued (SIGCONT)");
  if (contains(plan.redraw, process.pid))
    steps.emplace_back("draws its screen afresh");
  std::erase(steps, std::string());
  if (!steps.empty())
    return join_words(steps);
  if (process.role == Role::kZombie)
    return "nothing: it has ended and waits for its parent";
  if (process.role == Role::kLeft)
    return "nothing: it stays where it is";
  return "nothing: it has nothing of the old terminal";
}

const char* role_name(Role role) {
  switch (role) {
    case Role::kRoot:
      return "root";
    case Role::kFollower:
      return "follower";
    case Role::kServer:
      return "server";
    case Role::kUntouched:
      return "untouched";
    case Role::kZombie:
      return "zombie";
    case Role::kLeft:
      return "left";
  }
  return "";
}

// "    4711  root       make -j4"
class Rows {
 public:
  explicit Rows(const proc::Snapshot& snapshot) : snapshot_(snapshot) {
    for (const proc::Process& process : snapshot.processes)
      pid_columns_ = std::max(pid_columns_, std::to_string(process.stat.pid).size());
  }
  [[nodiscard]] std::string row(std::string_view pid, std::string_view what,
                                std::string_view command) const {
    const std::string start = pad(pid, pid_columns_, true) + "  " + pad(what, kWhatColumns) + "  ";
    return start + fit(command, kColumns - start.size()) + "\n";
  }
  [[nodiscard]] std::string row(pid_t pid, std::string_view what) const {
    const proc::Process* process = snapshot_.find(pid);
    return row(std::to_string(pid), what, process == nullptr ? "?" : command_of(*process));
  }
  [[nodiscard]] std::string below(std::string_view label, std::string_view text) const {
    const std::string start(pid_columns_ + 2 + kWhatColumns + 2, ' ');
    return wrap(start + std::string(label), text, kColumns);
  }

 private:
  static constexpr std::size_t kWhatColumns = 9;  // "untouched"
  const proc::Snapshot& snapshot_;
  std::size_t pid_columns_ = 5;
};

}  // namespace

std::string describe_plan(const proc::Snapshot& snapshot, const MovePlan& plan) {
  std::string out = headline(snapshot, plan);
  out += line("session", session_text(snapshot, plan));
  out += line("job", job_text(snapshot, plan));
  out += line("old shell", shell_text(snapshot, plan));
  out += line("status", "grab exits with that of " + name_of(snapshot, plan.status_pid));
  if (const std::string text = jobs_text(snapshot, plan); !text.empty())
    out += line("jobs", text);
  if (const std::string text = passwords_text(snapshot, plan); !text.empty())
    out += line("passwords", text);
  for (const std::string& warning : plan.warnings)
    out += line("warning", printable(warning));
  const Rows rows(snapshot);
  out += "\n" + rows.row("PID", "WHAT", "COMMAND, AND WHAT IT DOES");
  for (const ProcessPlan& process : plan.processes) {
    out += rows.row(process.pid, role_name(process.role));
    out += rows.below("", steps_text(plan, process));
    if (!process.note.empty())
      out += rows.below("but: ", printable(process.note));
  }
  return out;
}

std::string describe_tree(const proc::Snapshot& snapshot) {
  const Rows rows(snapshot);
  std::string out = wrap("", "The tree on " + terminal_of(snapshot) + ":", kColumns);
  out += rows.row("PID", "STATE", "COMMAND");
  for (const proc::Process& process : snapshot.processes)
    out += rows.row(process.stat.pid, printable(std::string(1, process.stat.state)));
  return out;
}

}  // namespace grab::cli
