// SPDX-License-Identifier: MIT
#include "tracer/refusal.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/text.h"
#include "tracer/guards.h"

namespace grab::tracer {
namespace {

using proc::Process;
using proc::Snapshot;

constexpr unsigned kKernelThread = 0x00200000;  // PF_KTHREAD, include/linux/sched.h

Status check_self(const Snapshot& snapshot) {
  for (const Process& process : snapshot.processes) {
    const std::string name = name_of(process);
    const pid_t pid = process.stat.pid;
    const auto& lineage = snapshot.self.lineage;
    if (!lineage.empty() && pid == lineage.front()) {
      return fail(ErrorKind::kRefused, name + " is grab itself",
                  "name the process that is to be moved");
    }
    if (proc::contains(lineage, pid)) {
      return fail(ErrorKind::kRefused,
                  name + " is an ancestor of grab, which it would stop with itself",
                  "run grab from another terminal");
    }
    if (proc::contains(snapshot.self.terminal_keepers, pid)) {
      return fail(ErrorKind::kRefused, name + " holds the terminal that grab shows the tree on",
                  "run grab from a terminal that " + name + " does not hold");
    }
  }
  return {};
}

Status check_named(const Snapshot& snapshot) {
  const Process* named = snapshot.find(snapshot.named);
  if (named == nullptr) {
    return fail(ErrorKind::kGone, "no process " + std::to_string(snapshot.named));
  }
  if ((named->stat.flags & kKernelThread) != 0) {
    return fail(ErrorKind::kRefused, name_of(*named) + " is a kernel thread, not a program",
                "name a program that was started on a terminal");
  }
  if (named->is_zombie()) {
    return fail(
        ErrorKind::kRefused,
        name_of(*named) + " has ended and only waits for its parent to take note (a zombie)",
        "there is nothing left of it to move");
  }
  return {};
}

Status check_permission(const Process& process, const proc::Self& self) {
  const std::string name = name_of(process);
  const bool root = self.euid == 0;
  if (!root && process.status.uid.real != self.euid) {
    return fail(
        ErrorKind::kPermission,
        name + " belongs to another user (uid " + std::to_string(process.status.uid.real) + ")",
        "run grab as that user or as root");
  }
  const bool traced_by_us = process.status.tracer == self.pid;
  const bool by_guard = gives_way(process.tracer_comm) && may_ask_tracer(process, self);
  if (process.status.tracer != 0 && !traced_by_us && !by_guard) {
    const std::string tracer =
        process.tracer_comm.empty() ? "" : " (" + printable(process.tracer_comm) + ")";
    return fail(ErrorKind::kPermission,
                name + " is already traced by " + std::to_string(process.status.tracer) + tracer,
                "end that tracer first, or let it detach");
  }
  // Kernel: what a user has mounted by FUSE is closed to root, too. Source: mount.fuse3(8)
  // allow_other; seen.
  if (!process.readable) {
    return fail(ErrorKind::kPermission,
                "the kernel does not let grab look into " + name +
                    (root ? " (it may use what its user has mounted by FUSE)"
                          : " (it has other privileges, or keeps others out with PR_SET_DUMPABLE)"),
                root ? "run grab as that user (uid " + std::to_string(process.status.uid.real) + ")"
                     : "run grab as root");
  }
  if (!root && self.yama_scope >= 1) {
    return fail(
        ErrorKind::kPermission,
        "this system lets nobody but root trace running programs (kernel.yama.ptrace_scope is " +
            std::to_string(self.yama_scope) + ")",
        self.yama_scope >= 3 ? "it stays so until the next boot"
                             : "run grab as root, or: sudo sysctl kernel.yama.ptrace_scope=0");
  }
  return {};
}

/// The refusal of a tree of which some processes are not ours to move, all of them named.
Error refuse_whole(Error first, const Snapshot& snapshot, const MoveOptions& options) {
  std::vector<std::string> others;
  bool after_first = false;
  for (const Process& process : snapshot.processes) {
    if (process.is_zombie() || check_permission(process, snapshot.self))
      continue;
    if (std::exchange(after_first, true))
      others.push_back(name_of(process));
  }
  constexpr std::size_t kNamed = 5;
  for (std::size_t i = 0; i < others.size() && i < kNamed; i++)
    first.what += (i == 0 ? "; nor may grab move " : ", ") + others[i];
  if (others.size() > kNamed)
    first.what += " and " + std::to_string(others.size() - kNamed) + " more";
  const Process* named = snapshot.find(snapshot.named);
  if (options.whole_tree && named != nullptr && check_permission(*named, snapshot.self))
    first.hint += "; or move the others alone: --partial";
  return first;
}

Status check_kind(const Process& process, const proc::Self& self, const MoveOptions& options) {
  const std::string name = name_of(process);
  if (process.x32) {
    return fail(ErrorKind::kUnsupported,
                name + " is a program for the x32 ABI, which grab does not know",
                "its 64-bit and 32-bit builds can be moved");
  }
  if (process.status.seccomp != 0 && !options.force) {
    return fail(
        ErrorKind::kRefused,
        name +
            " runs under a seccomp filter, which may kill it for a system call made on its behalf",
        self.euid == 0
            ? "--force suspends the filter for the milliseconds of the move; it may kill "
              "the program if grab is killed within them"
            : "--force tries all the same; as root it suspends the filter meanwhile");
  }
  if (process.ns.pid != self.ns.pid && process.status.ns_pids.size() < 2) {
    return fail(ErrorKind::kUnsupported,
                name +
                    " runs in another pid namespace, and this kernel does not tell what number "
                    "it has there (Linux 4.1 does)");
  }
  if (process.vdso == 0) {
    return fail(ErrorKind::kUnsupported,
                name + " has no vDSO, where the calls that move it would lie");
  }
  return {};
}

/// Numbers that have to be free in the descriptor table of `process` at once, all who share it
/// counted. Only the first of them moves descriptors; the others lend for the terminals alone.
std::size_t room_needed(const Process& process, const Snapshot& snapshot) {
  constexpr std::size_t kForTerminals = 4;  // the way to us, the old terminal, the new
  const auto sharers = std::count_if(
      snapshot.processes.begin(), snapshot.processes.end(), [&](const Process& other) {
        return !other.is_zombie() && other.stat.pid != process.stat.pid &&
               other.fd_table_of == process.fd_table_of;
      });
  return lent_descriptors(process) + kForTerminals * static_cast<std::size_t>(sharers);
}

Status check_room(const Process& process, const Snapshot& snapshot) {
  const std::size_t needed = room_needed(process, snapshot);
  const std::string limit = std::to_string(process.nofile_limit);
  const std::string pid = std::to_string(process.stat.pid);
  const std::string hint =
      "raise it first: prlimit --pid " + pid +
      " --nofile=" + std::to_string(process.nofile_limit + std::max<std::size_t>(needed, 16)) + ":";
  const std::vector<int> numbers = free_descriptors(process, needed);
  if (needed > 0 && static_cast<std::uint64_t>(numbers.back()) >= process.nofile_limit) {
    return fail(
        ErrorKind::kRefused,
        name_of(process) + " has no free descriptor to lend (its RLIMIT_NOFILE is " + limit + ")",
        hint);
  }
  std::vector<int> placed;
  for (const proc::Descriptor& moved : process.moved_fds)
    placed.push_back(moved.fd);
  for (const proc::StaleWatch& stale : process.stale_watches) {
    if (stale.stands_for >= 0)
      placed.push_back(stale.watch.target_fd);
  }
  for (const int fd : placed) {
    if (static_cast<std::uint64_t>(fd) < process.nofile_limit)
      continue;
    return fail(
        ErrorKind::kRefused,
        name_of(process) + " has the terminal open as descriptor " + std::to_string(fd) +
            ", beyond its own RLIMIT_NOFILE of " + limit + ", so nothing can be put in its place",
        "raise it first: prlimit --pid " + pid + " --nofile=" + std::to_string(fd + 16) + ":");
  }
  return {};
}

/// Whether the process has anything to do with the old terminal.
bool touches_terminal(const Process& process, const Snapshot& snapshot) {
  const dev_t tty = process.stat.tty;
  return !process.moved_fds.empty() || (tty != 0 && (tty == snapshot.old_terminal.device ||
                                                     tty == snapshot.left_terminal.device));
}

Status check_terminal(const Snapshot& snapshot, const MoveOptions& options) {
  const Process& named = *snapshot.find(snapshot.named);
  if (snapshot.old_terminal.device == 0 && !options.force_stdio) {
    return fail(ErrorKind::kRefused, name_of(named) + " has no terminal",
                "--force-stdio moves its descriptors 0-2 to a terminal all the same");
  }
  if (options.whole_tree)
    return {};
  // One that shares nothing but a group that the named one leads is in the way, too: it would be
  // hung up with a session leader, and would keep another leader from making a session.
  const auto others = std::count_if(
      snapshot.processes.begin(), snapshot.processes.end(), [&](const Process& process) {
        return process.stat.pid != named.stat.pid && !process.is_zombie() && !process.serves &&
               (touches_terminal(process, snapshot) || process.stat.pgid == named.stat.pid);
      });
  if (others == 0)
    return {};
  return fail(ErrorKind::kRefused,
              name_of(named) + " is not alone: " + std::to_string(others) +
                  (others == 1 ? " process belongs" : " processes belong") +
                  " to it on its terminal",
              "grab --tree " + std::to_string(named.stat.pid) + " moves them all");
}

// xterm and screen hang up the group of what they have started when its terminal closes, and it
// does when its leader is moved; told that it has ended, they do not. sshd hangs up nobody.
Status check_keeper(const Snapshot& snapshot, const MoveOptions& options) {
  const Process& named = *snapshot.find(snapshot.named);
  const std::vector<pid_t>& keepers = snapshot.old_ptmx_keepers;
  if (options.force || named.stat.sid != named.stat.pid || snapshot.old_terminal.device == 0 ||
      !snapshot.parent || snapshot.parent->stat.pid <= 1)
    return {};
  const Process& parent = *snapshot.parent;
  const bool may_keep = keepers.empty() ||
                        std::find(keepers.begin(), keepers.end(), parent.stat.pid) != keepers.end();
  if (!may_keep || parent.stat.comm.starts_with("sshd") || is_traceable(parent, snapshot.self))
    return {};
  return fail(
      ErrorKind::kPermission,
      name_of(parent) + " may hang up " + name_of(named) +
          ", its session leader, when that leaves its terminal, and cannot be told better: " +
          why_not_traceable(parent, snapshot.self),
      "run grab as root, or move a job of it; --force moves it all the same");
}

}  // namespace

bool may_ask_tracer(const Process& process, const proc::Self& self) {
  return self.euid == 0 || process.tracer_uid == self.euid;
}

bool is_traceable(const Process& process, const proc::Self& self) {
  return check_permission(process, self).has_value();
}

std::string why_not_traceable(const Process& process, const proc::Self& self) {
  const Status allowed = check_permission(process, self);
  return allowed ? std::string() : allowed.error().what;
}

bool stays_behind(const Process& process, const Snapshot& snapshot, const MoveOptions& options) {
  return options.partial && options.whole_tree && !process.is_zombie() &&
         !is_traceable(process, snapshot.self);
}

std::size_t lent_descriptors(const Process& process) {
  std::set<int> descriptions;
  for (const proc::Descriptor& moved : process.moved_fds)
    descriptions.insert(moved.description);
  std::set<int> put_aside;
  std::set<int> files;
  std::set<int> sets;
  for (const proc::StaleWatch& stale : process.stale_watches) {
    if (stale.stands_for < 0)
      continue;
    if (stale.in_use)
      put_aside.insert(stale.watch.target_fd);
    files.insert(stale.stands_for);
    sets.insert(stale.watch.epoll_fd);
  }
  const std::size_t for_stale = put_aside.size() + 2 * files.size() + sets.size();
  return 2 + 2 * descriptions.size() + 2 + for_stale;
}

std::vector<int> free_descriptors(const Process& process, std::size_t count) {
  std::set<int> used(process.open_fds.begin(), process.open_fds.end());
  if (process.fd_table_of == process.stat.pid) {
    for (const proc::StaleWatch& stale : process.stale_watches) {
      if (!stale.of_contained && stale.stands_for >= 0)
        used.insert(stale.watch.target_fd);  // it opens these again, before any other
    }
  }
  std::vector<int> numbers;
  for (int fd = 0; numbers.size() < count; fd++) {
    if (used.count(fd) == 0)
      numbers.push_back(fd);
  }
  return numbers;
}

Status check_movable(const Snapshot& snapshot, const MoveOptions& options) {
  GRAB_CHECK(check_named(snapshot));
  GRAB_CHECK(check_self(snapshot));
  for (const Process& process : snapshot.processes) {
    const bool left = stays_behind(process, snapshot, options);
    if (process.is_zombie() || (left && process.stat.pid != snapshot.named))
      continue;
    if (Status allowed = check_permission(process, snapshot.self); !allowed)
      return tl::unexpected(refuse_whole(std::move(allowed).error(), snapshot, options));
  }
  GRAB_CHECK(check_terminal(snapshot, options));
  GRAB_CHECK(check_keeper(snapshot, options));
  for (const Process& process : snapshot.processes) {
    if (process.is_zombie() || stays_behind(process, snapshot, options))
      continue;
    GRAB_CHECK(check_kind(process, snapshot.self, options));
    GRAB_CHECK(check_room(process, snapshot));
  }
  return {};
}

bool may_pass(const Error& refusal) {
  return refusal.kind == ErrorKind::kPermission || refusal.kind == ErrorKind::kUnsupported;
}

// Kernel: between its two programs a process that calls execve(2) has no vDSO, or may not be looked
// into; it runs, or waits for the disk. Nor may one that ends, once its memory is gone. Source:
// fs/exec.c begin_new_exec, kernel/ptrace.c __ptrace_may_access; seen.
bool is_in_passage(const Snapshot& snapshot) {
  return std::any_of(
      snapshot.processes.begin(), snapshot.processes.end(), [](const Process& process) {
        const bool runs = process.stat.state == 'R' || process.stat.state == 'D';
        return !process.is_zombie() && (!process.readable || (process.vdso == 0 && runs));
      });
}

Status check_drawers(const std::vector<proc::Drawer>& drawers, const proc::Terminal& terminal,
                     const MoveOptions& options) {
  if (drawers.empty() || options.force)
    return {};
  const proc::Drawer& first = drawers.front();
  return fail(ErrorKind::kRefused,
              std::to_string(first.pid) + " (" + printable(first.comm) + "), a server, draws on " +
                  terminal.name + " and reads what is typed there, and would go on to do so",
              "attach to it from the new terminal instead (screen -dr, grab attach), or move its "
              "client alone with --force");
}

}  // namespace grab::tracer
