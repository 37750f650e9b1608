// SPDX-License-Identifier: MIT
// What /proc says of a tree of processes, as plain values. Nothing here reads anything: the parsers
// are in parse.h, the reading is in tree_reader.h, and what is decided from it in tracer/plan.h.
#pragma once

#include <sys/types.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace grab::proc {

/// A set of signals as /proc/PID/status prints them: bit n-1 is signal n.
struct SignalSet {
  std::uint64_t bits = 0;
  [[nodiscard]] constexpr bool has(int signo) const {
    return ((bits >> static_cast<unsigned>(signo - 1)) & 1U) != 0;
  }
  friend constexpr bool operator==(SignalSet, SignalSet) = default;
};

/// Which process: a pid alone can be another's by now.
struct ProcessId {
  pid_t pid = 0;
  std::uint64_t start_time = 0;  ///< clock ticks since boot
  friend bool operator==(const ProcessId&, const ProcessId&) = default;
};

/// In Stat::flags. Source: PF_KTHREAD, include/linux/sched.h.
inline constexpr unsigned kKernelThread = 0x00200000;

/// The fields of /proc/PID/stat that grab needs. Source: proc_pid_stat(5).
struct Stat {
  pid_t pid = 0;
  std::string comm;  ///< raw: may hold any byte but NUL; print it through printable()
  char state = '?';  ///< R S D T t Z X I
  pid_t ppid = 0;
  pid_t pgid = 0;
  pid_t sid = 0;
  dev_t tty = 0;       ///< controlling terminal as makedev() gives it, 0 if none
  pid_t tpgid = -1;    ///< foreground group of that terminal
  unsigned flags = 0;  ///< PF_*, as kKernelThread
  int num_threads = 0;
  std::uint64_t start_time = 0;  ///< clock ticks since boot: with pid, an identity
  int exit_code = 0;             ///< wait status of a zombie, where the kernel shows it
  friend bool operator==(const Stat&, const Stat&) = default;
};

/// Whether the (main) thread is inside exit(2). Source: PF_EXITING, include/linux/sched.h.
[[nodiscard]] constexpr bool is_exiting(const Stat& stat) {
  constexpr unsigned kExiting = 0x4;
  return (stat.flags & kExiting) != 0;
}

struct Ids {  ///< real, effective, saved, file-system
  unsigned real = 0, effective = 0, saved = 0, fs = 0;
  friend bool operator==(const Ids&, const Ids&) = default;
};

/// The fields of /proc/PID/status that grab needs. Source: proc_pid_status(5).
struct Status {
  pid_t tracer = 0;  ///< TracerPid
  Ids uid, gid;
  int seccomp = 0;           ///< 0 none, 1 strict, 2 filter
  SignalSet pending;         ///< SigPnd of the main thread
  SignalSet shared_pending;  ///< ShdPnd
  SignalSet blocked, ignored, caught;
  std::uint64_t capabilities = 0;  ///< CapEff, bits as in capabilities(7)
  std::vector<pid_t> ns_pids;   ///< NStgid: its pid in our pid namespace, and in each within that
  std::vector<pid_t> ns_tids;   ///< NSpid: the same of the thread whose status it is
  std::vector<pid_t> ns_pgids;  ///< NSpgid: the same of its group, 0 where that has no number
  friend bool operator==(const Status&, const Status&) = default;
};

/// A descriptor that leads to the old terminal (or, with force_stdio, to one of root's 0-2).
struct Descriptor {
  int fd = -1;
  bool close_on_exec = false;
  int description = -1;  ///< index into Snapshot::descriptions
  friend bool operator==(const Descriptor&, const Descriptor&) = default;
};

/// One open file description; every descriptor of the tree that shares it has the same index.
struct Description {
  int flags = 0;  ///< as F_GETFL gives them: access mode, O_APPEND, O_NONBLOCK ...
  friend bool operator==(const Description&, const Description&) = default;
};

/// One entry of an epoll set that watches a moved descriptor. Source: proc_pid_fdinfo(5).
struct EpollWatch {
  int epoll_fd = -1;
  int target_fd = -1;
  std::uint32_t events = 0;
  std::uint64_t data = 0;
  friend bool operator==(const EpollWatch&, const EpollWatch&) = default;
};

/// One whose number has been closed since it was added, or means another file by now: the epoll set
/// knows it by that number only, and goes on watching as long as the file is open elsewhere.
struct StaleWatch {
  EpollWatch watch;
  int stands_for = -1;         ///< a moved descriptor of what is watched; -1: it has none
  bool in_use = false;         ///< the number means another file, which is not moved
  bool close_on_exec = false;  ///< of that one
  bool locks = false;  ///< a lock (fcntl(2)) would be lost if that one was put aside for a moment
  bool of_contained = false;  ///< of a process that opens descriptors before it can be given one
  friend bool operator==(const StaleWatch&, const StaleWatch&) = default;
};

/// Namespaces as inode numbers of /proc/PID/ns/*; 0 where they could not be read.
struct Namespaces {
  std::uint64_t pid = 0, user = 0, mount = 0;
  friend bool operator==(const Namespaces&, const Namespaces&) = default;
};

struct Process {
  Stat stat;
  Status status;
  std::vector<pid_t> tids;                ///< every live thread, the main thread first if it lives
  std::vector<int> open_fds;              ///< every descriptor number in use, ascending
  std::vector<Descriptor> moved_fds;      ///< those to be moved, ascending
  std::vector<EpollWatch> epoll_watches;  ///< on moved_fds only
  std::vector<StaleWatch> stale_watches;
  std::vector<int> foreign_sets;  ///< epoll sets that watch moved_fds and are the parent's, too, of
                                  ///< the job: their entries are in neither of the lists above
  std::vector<int> waiting_rings;  ///< io_urings by which it may wait for its terminal
  pid_t fd_table_of =
      0;  ///< the first process of the tree with the same table (CLONE_FILES); else itself
  std::uint64_t nofile_limit = 0;  ///< soft RLIMIT_NOFILE
  std::uint64_t vdso = 0;          ///< address, 0 if it has none
  int elf_class = 0;               ///< 32 or 64, 0 if it could not be read
  bool x32 = false;                ///< 64-bit code with 32-bit addresses and calls of its own
  Namespaces ns;
  std::string command;      ///< command line, words joined by spaces; raw bytes
  std::string tracer_comm;  ///< name of status.tracer, empty if there is none
  uid_t tracer_uid = 0;     ///< its effective user, for whom it takes signals
  /// No part of the tree: a server that draws on its terminal for a client there (tmux), and whose
  /// descriptors of that terminal go along.
  bool serves = false;
  /// It serves a file system (FUSE) or a device (CUSE): others wait for it in calls of theirs.
  bool serves_files = false;
  bool readable = true;  ///< false: the kernel denies us its details (another user's, undumpable)
  /// Whether it has ended, or is about to: in exit(2) it has no memory any more and nobody but root
  /// may look into it. A main thread that has exited while others live looks like one, but has
  /// threads.
  [[nodiscard]] bool is_zombie() const {
    const bool ended = stat.state == 'Z' || stat.state == 'X' || is_exiting(stat);
    const bool alone = tids.empty() || (tids.size() == 1 && tids.front() == stat.pid);
    return ended && alone;
  }
  friend bool operator==(const Process&, const Process&) = default;
};

struct Terminal {
  dev_t device = 0;   ///< 0: there is none
  std::string name;   ///< "/dev/pts/3", or "tty 4:1" where no path is known
  pid_t session = 0;  ///< whose controlling terminal it is, 0 if unknown
  pid_t foreground_pgid = 0;
  friend bool operator==(const Terminal&, const Terminal&) = default;
};

/// A process outside the tree that is in a group of one of its processes (a zombie, a sibling), or
/// in one that has the number of one of them.
struct Outsider {
  pid_t pid = 0;
  pid_t pgid = 0;
  friend bool operator==(const Outsider&, const Outsider&) = default;
};

/// grab itself and those it must never stop.
struct Self {
  pid_t pid = 0;                        ///< who took the snapshot
  std::vector<pid_t> lineage;           ///< grab, its parent, and so on up to 1
  std::vector<pid_t> terminal_keepers;  ///< who holds the ptmx of grab's own terminal
  dev_t terminal = 0;                   ///< grab's own terminal, 0 if none
  unsigned euid = 0;
  std::uint64_t permitted = 0;  ///< its capabilities, CAP_* being the bits
  int yama_scope = 0;           ///< /proc/sys/kernel/yama/ptrace_scope, 0 where there is none
  Namespaces ns;
  friend bool operator==(const Self&, const Self&) = default;
};

struct Snapshot {
  pid_t named = 0;                 ///< the process that the user named
  std::vector<Process> processes;  ///< the tree, parents before children, zombies included
  std::vector<Description> descriptions;
  Terminal old_terminal;
  /// The terminal that a move which was broken off has left processes on; that one is old, too.
  Terminal left_terminal;
  /// Where a move that was broken off was going, if this one is to complete it; else 0.
  dev_t new_terminal = 0;
  std::optional<Process> parent;  ///< of the job: the would-be old shell; no fds are read of it
  std::optional<Process> parents_parent;  ///< only when the named one is a session leader
  std::vector<pid_t>
      old_ptmx_keepers;  ///< of old_terminal; only when the named one is a session leader
  /// Who keeps one of the terminals that earlier moves have left; likewise.
  std::vector<pid_t> earlier_ptmx_keepers;
  std::vector<Outsider> outsiders;
  std::vector<pid_t> session_pgids;  ///< groups of the named process's session that hold a process
                                     ///< outside the tree
  Self self;
  [[nodiscard]] const Process* find(pid_t pid) const;
  friend bool operator==(const Snapshot&, const Snapshot&) = default;
};

/// The processes of the tree that serve files, or devices, to others, and all that these have
/// started, which may do a part of it (the ssh of sshfs).
[[nodiscard]] std::set<pid_t> file_servers(const Snapshot& snapshot);

/// Whether it is one of them: of a lineage, of those who hold a terminal.
[[nodiscard]] inline bool contains(const std::vector<pid_t>& pids, pid_t pid) {
  return std::find(pids.begin(), pids.end(), pid) != pids.end();
}

}  // namespace grab::proc
