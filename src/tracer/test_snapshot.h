// SPDX-License-Identifier: MIT
// For the tests of this folder: snapshots made by hand. A shell 100 of session 100 has terminal 3;
// what a test adds is below it unless it says otherwise. Header only, so that none of it gets into
// the library.
#pragma once

#include <fcntl.h>
#include <sys/sysmacros.h>

#include <csignal>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "proc/snapshot.h"
#include "tracer/plan.h"

namespace grab::tracer {

inline constexpr pid_t kShell = 100;
inline constexpr pid_t kGrab = 900;
inline constexpr unsigned kUser = 1000;
inline const dev_t kTerminal = makedev(136, 3);

inline proc::SignalSet signals(std::initializer_list<int> numbers) {
  proc::SignalSet set;
  for (const int signo : numbers)
    set.bits |= 1ULL << static_cast<unsigned>(signo - 1);
  return set;
}

class TestSnapshot {
 public:
  TestSnapshot() {
    proc::Process shell = make(kShell, 1, kShell, "bash");
    // As bash has them at its prompt.
    shell.status.ignored = signals({SIGTTOU, SIGTTIN, SIGTSTP, SIGTERM, SIGQUIT});
    value.parent = shell;
    value.old_terminal = {kTerminal, "/dev/pts/3", kShell, 0};
    value.descriptions = {{O_RDWR}};
    value.self.pid = kGrab;
    value.self.lineage = {kGrab, 800, 1};
    value.self.euid = kUser;
  }

  static proc::Process make(pid_t pid, pid_t ppid, pid_t pgid, std::string comm) {
    proc::Process process;
    process.stat.pid = pid;
    process.stat.comm = std::move(comm);
    process.stat.state = 'S';
    process.stat.ppid = ppid;
    process.stat.pgid = pgid;
    process.stat.sid = kShell;
    process.stat.tty = kTerminal;
    process.stat.num_threads = 1;
    process.stat.start_time = static_cast<std::uint64_t>(pid);
    process.status.uid = {kUser, kUser, kUser, kUser};
    process.status.gid = process.status.uid;
    process.tids = {pid};
    process.open_fds = {0, 1, 2};
    process.moved_fds = {{0, false, 0}, {1, false, 0}, {2, false, 0}};
    process.fd_table_of = pid;
    process.nofile_limit = 1024;
    process.vdso = 0x7fff0000;
    process.elf_class = 64;
    return process;
  }

  /// Adds a process; the first one is the named one. The reference is good until the next add().
  proc::Process& add(pid_t pid, pid_t ppid, pid_t pgid, std::string comm = "make") {
    if (value.processes.empty())
      value.named = pid;
    value.processes.push_back(make(pid, ppid, pgid, std::move(comm)));
    return value.processes.back();
  }
  /// As a real zombie: no threads, no descriptors.
  void add_zombie(pid_t pid, pid_t ppid, pid_t pgid) {
    proc::Process& process = add(pid, ppid, pgid, "ended");
    process.stat.state = 'Z';
    process.tids.clear();
    process.open_fds.clear();
    process.moved_fds.clear();
    process.vdso = 0;
  }
  TestSnapshot& foreground(pid_t pgid) {
    value.old_terminal.foreground_pgid = pgid;
    return *this;
  }
  /// The process that was added.
  proc::Process& of(pid_t pid) { return const_cast<proc::Process&>(*value.find(pid)); }

  [[nodiscard]] Result<MovePlan> plan(MoveOptions options = {.whole_tree = true}) const {
    return plan_move(value, options);
  }

  proc::Snapshot value;
};

/// The step of that type, null if there is none.
template <class Step, class Steps>
const Step* find_step(const Steps& steps) {
  for (const auto& step : steps) {
    if (const auto* found = std::get_if<Step>(&step))
      return found;
  }
  return nullptr;
}

}  // namespace grab::tracer
