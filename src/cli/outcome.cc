// SPDX-License-Identifier: MIT
#include "cli/outcome.h"

#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>

#include "base/text.h"
#include "cli/words.h"

namespace grab::cli {
namespace {

bool is_moved(const tracer::ProcessPlan& process) {
  return process.role == tracer::Role::kRoot || process.role == tracer::Role::kFollower;
}

// "moved 3 processes of 4711 (make) here from /dev/pts/3 (frozen 1.8 ms)"
std::string what_moved(const tracer::Moved& moved, const char* where) {
  std::string line = "moved ";
  if (moved.processes.size() != 1)
    line += std::to_string(moved.processes.size()) + " processes of ";
  line += moved.root_name + where;
  if (!moved.old_terminal.empty())
    line += " from " + printable(moved.old_terminal);
  std::array<char, 48> frozen{};
  (void)std::snprintf(frozen.data(), frozen.size(), " (frozen %.1f ms)", moved.frozen_ms);
  return line + frozen.data();
}

std::string key_text(std::optional<unsigned char> detach_key) {
  return detach_key ? "; " + key_name(*detach_key) + " detaches" : "";
}

}  // namespace

int exit_status(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kUsage:
      return 2;
    case ErrorKind::kTimeout:
      return 124;
    case ErrorKind::kPermission:
      return 126;
    case ErrorKind::kGone:
      return 127;
    case ErrorKind::kSystem:
    case ErrorKind::kUnsupported:
    case ErrorKind::kRefused:
      return 125;
  }
  return 125;
}

int exit_status(const relay::TreeEnd& end) {
  if (!end.wait_status)
    return 0;
  const int status = *end.wait_status;
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

std::string signal_name(int signo) {
  if (const char* name = ::sigabbrev_np(signo))
    return std::string("SIG") + name;
  return "signal " + std::to_string(signo);
}

std::string describe_wait_status(int wait_status) {
  if (!WIFSIGNALED(wait_status))
    return "ended with status " + std::to_string(WEXITSTATUS(wait_status));
  return "was killed by " + signal_name(WTERMSIG(wait_status)) +
         (WCOREDUMP(wait_status) ? " (core dumped)" : "");
}

std::string name_of(const proc::Snapshot& snapshot, pid_t pid) {
  if (const proc::Process* process = snapshot.find(pid))
    return tracer::name_of(*process);
  if (snapshot.parent && snapshot.parent->stat.pid == pid)
    return tracer::name_of(*snapshot.parent);
  return std::to_string(pid);
}

std::size_t count_moved(const tracer::MovePlan& plan) {
  return static_cast<std::size_t>(
      std::count_if(plan.processes.begin(), plan.processes.end(), is_moved));
}

std::string moved_line(const tracer::Moved& moved, std::optional<unsigned char> detach_key) {
  return what_moved(moved, " here") + key_text(detach_key);
}

std::string moved_away_line(const tracer::Moved& moved, const std::string& name) {
  return what_moved(moved, "") + "; show it with: grab attach " + printable(name);
}

std::string attached_line(const std::string& name, bool read_only,
                          std::optional<unsigned char> detach_key) {
  return "attached to " + printable(name) + (read_only ? " to look only" : "") +
         key_text(detach_key);
}

std::string started_line(const std::string& name) {
  return "started " + printable(name) + "; show it with: grab attach " + printable(name);
}

std::string detached_line(const std::string& name, const std::string& why) {
  return "detached from " + printable(name) + (why.empty() ? "" : " " + printable(why)) +
         "; come back with: grab attach " + printable(name);
}

std::string stopped_line(const std::string& process) {
  return printable(process) + " is stopped; fg continues it";
}

std::string ended_line(const std::string& process, const relay::TreeEnd& end) {
  if (end.moved_away)
    return printable(process) + " was moved to another terminal";
  if (!end.wait_status)
    return printable(process) + " ended; the kernel does not tell its status";
  return printable(process) + " " + describe_wait_status(*end.wait_status);
}

relay::MovedTree to_moved_tree(const tracer::Moved& moved) {
  relay::MovedTree tree;
  tree.name = moved.root_name;
  for (const tracer::Moved::Process& process : moved.processes)
    tree.processes.push_back({process.pid, process.start_time});
  tree.terminals.assign(moved.old_devices.begin(), moved.old_devices.end());
  tree.status_pid = moved.status_pid;
  tree.job_pgid = moved.job_pgid;
  tree.kernel_signals_job = moved.topology != tracer::Topology::kKeepSession;
  tree.follower_pgids = moved.follower_pgids;
  tree.redraw_pids = moved.redraw;
  return tree;
}

}  // namespace grab::cli
