// SPDX-License-Identifier: MIT
// The same as JSON. The names of the fields are a promise (grab(1), "JSON OUTPUT"): fields are
// added, never renamed.
#include <sys/types.h>

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/describe.h"
#include "cli/outcome.h"

namespace grab::cli {
namespace {

using Json = nlohmann::ordered_json;
namespace step = tracer::step;

const char* to_string(tracer::Topology topology) {
  switch (topology) {
    case tracer::Topology::kNewSession:
      return "new-session";
    case tracer::Topology::kSessionLeader:
      return "session-leader";
    case tracer::Topology::kKeepSession:
      return "keep-session";
  }
  return "";
}

const char* to_string(tracer::Role role) {
  switch (role) {
    case tracer::Role::kRoot:
      return "root";
    case tracer::Role::kFollower:
      return "follower";
    case tracer::Role::kServer:
      return "server";
    case tracer::Role::kUntouched:
      return "untouched";
    case tracer::Role::kZombie:
      return "zombie";
    case tracer::Role::kLeft:
      return "left";
  }
  return "";
}

const char* to_string(tracer::TellShell::How how) {
  switch (how) {
    case tracer::TellShell::How::kNobody:
      return "nobody";
    case tracer::TellShell::How::kTold:
      return "told";
    case tracer::TellShell::How::kStopFirst:
      return "stop-first";
  }
  return "";
}

const char* to_string(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kSystem:
      return "system";
    case ErrorKind::kGone:
      return "gone";
    case ErrorKind::kPermission:
      return "permission";
    case ErrorKind::kUnsupported:
      return "unsupported";
    case ErrorKind::kRefused:
      return "refused";
    case ErrorKind::kTimeout:
      return "timeout";
    case ErrorKind::kUsage:
      return "usage";
  }
  return "";
}

struct ToJson {
  Json operator()(const step::JoinGroup& join) const {
    return {{"step", "join-group"}, {"group", join.pgid}};
  }
  Json operator()(const step::MoveDescriptors& move) const {
    Json fds = Json::array();
    for (const proc::Descriptor& fd : move.fds)
      fds.push_back(
          {{"fd", fd.fd}, {"close_on_exec", fd.close_on_exec}, {"description", fd.description}});
    Json watches = Json::array();
    for (const proc::EpollWatch& watch : move.watches)
      watches.push_back({{"epoll_fd", watch.epoll_fd}, {"fd", watch.target_fd}});
    for (const proc::StaleWatch& stale : move.stale)
      watches.push_back({{"epoll_fd", stale.watch.epoll_fd}, {"fd", stale.watch.target_fd}});
    return {{"step", "move-descriptors"}, {"descriptors", fds}, {"epoll_watches", watches}};
  }
  Json operator()(const step::DropTerminal& /*drop*/) const { return {{"step", "drop-terminal"}}; }
  Json operator()(const step::NewSession& session) const {
    return {{"step", "new-session"}, {"via_group", session.via_pgid}};
  }
  Json operator()(const step::LeaveFront& leave) const {
    return {{"step", "leave-foreground"}, {"group", leave.to}};
  }
  Json operator()(const step::LeaveAsLeader& /*leave*/) const {
    return {{"step", "leave-as-leader"}};
  }
  Json operator()(const step::TakeTerminal& take) const {
    return {{"step", "take-terminal"}, {"foreground_group", take.foreground_pgid}};
  }
};

Json process_json(const proc::Snapshot& snapshot, pid_t pid) {
  Json out = {{"pid", pid}};
  if (const proc::Process* process = snapshot.find(pid)) {
    out["parent"] = process->stat.ppid;
    out["name"] = printable(process->stat.comm);
    out["command"] = printable(process->command);
    out["state"] = printable(std::string(1, process->stat.state));
    out["group"] = process->stat.pgid;
    out["session"] = process->stat.sid;
  }
  return out;
}

Json process_json(const proc::Snapshot& snapshot, const tracer::ProcessPlan& process) {
  Json out = process_json(snapshot, process.pid);
  out["role"] = to_string(process.role);
  out["steps"] = Json::array();
  for (const tracer::PrepareStep& one : process.prepare)
    out["steps"].push_back(std::visit(ToJson{}, one));
  if (process.depart)
    out["steps"].push_back({{"step", "leave-group"}, {"group", process.depart->pgid}});
  for (const tracer::CommitStep& one : process.commit)
    out["steps"].push_back(std::visit(ToJson{}, one));
  out["note"] = printable(process.note);
  return out;
}

Json head_json(const proc::Snapshot& snapshot) {
  Json out = {{"format", 1}, {"named", snapshot.named}, {"old_terminal", nullptr}};
  const proc::Terminal& terminal = snapshot.old_terminal;
  if (terminal.device != 0) {
    out["old_terminal"] = {{"name", printable(terminal.name)},
                           {"session", terminal.session},
                           {"foreground_group", terminal.foreground_pgid}};
  }
  return out;
}

Json shell_json(const tracer::TellShell& tell) {
  return {{"how", to_string(tell.how)}, {"pid", tell.shell},          {"group", tell.job_pgid},
          {"children", tell.children},  {"status", tell.wait_status}, {"why", printable(tell.why)}};
}

Json to_json(const Error& error) {
  return {{"kind", to_string(error.kind)},
          {"message", printable(error.message())},
          {"hint", printable(error.hint)},
          {"exit_status", exit_status(error.kind)}};
}

// printable() has left nothing that is not UTF-8; were it otherwise, a program that reads JSON
// would rather have a replacement character than no document.
std::string text_of(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace

std::string plan_json(const proc::Snapshot& snapshot, const tracer::MovePlan& plan) {
  Json out = head_json(snapshot);
  out["root"] = plan.root;
  out["topology"] = to_string(plan.topology);
  out["topology_why"] = printable(plan.topology_why);
  out["foreground"] = plan.foreground;
  out["modes"] = plan.modes == tracer::Modes::kOldTerminal ? "old-terminal" : "sane";
  out["carry_type_ahead"] = plan.carry_type_ahead;
  out["leave_screen"] = plan.leave_screen;
  out["redraw"] = plan.redraw;
  out["continue_after"] = plan.continue_after;
  out["old_shell"] = shell_json(plan.tell);
  out["job_group"] = plan.job_pgid;
  out["follower_groups"] = plan.follower_pgids;
  out["status_pid"] = plan.status_pid;
  out["warnings"] = Json::array();
  for (const std::string& warning : plan.warnings)
    out["warnings"].push_back(printable(warning));
  out["processes"] = Json::array();
  for (const tracer::ProcessPlan& process : plan.processes)
    out["processes"].push_back(process_json(snapshot, process));
  return text_of(out);
}

std::string refusal_json(const proc::Snapshot& snapshot, const Error& error) {
  Json out = head_json(snapshot);
  out["processes"] = Json::array();
  for (const proc::Process& process : snapshot.processes)
    out["processes"].push_back(process_json(snapshot, process.stat.pid));
  out["error"] = to_json(error);
  return text_of(out);
}

std::string error_json(const Error& error) {
  return text_of({{"error", to_json(error)}});
}

}  // namespace grab::cli
