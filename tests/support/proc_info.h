// SPDX-License-Identifier: MIT
// What /proc says of a process, read for tests. Written apart from src/proc on purpose: a mistake
// there must not be able to hide here.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

namespace grab::test {

/// The fields of /proc/PID/stat that tests ask for. Source: proc_pid_stat(5).
struct ProcStat {
  pid_t pid = 0;
  std::string comm;
  char state = '?';
  pid_t ppid = 0;
  pid_t pgid = 0;
  pid_t sid = 0;
  dev_t tty = 0;
  pid_t tpgid = -1;
};

/// Nothing when there is no such process.
[[nodiscard]] std::optional<ProcStat> read_stat(pid_t pid);
/// The value of one line of /proc/PID/task/TID/status, trimmed; empty when there is none.
[[nodiscard]] std::string status_field(pid_t pid, pid_t tid, const std::string& key);
[[nodiscard]] std::vector<pid_t> threads_of(pid_t pid);
[[nodiscard]] std::vector<pid_t> children_of(pid_t pid);
/// All below `pid`, parents before children, without `pid` itself.
[[nodiscard]] std::vector<pid_t> descendants_of(pid_t pid);
/// `pid` and all below it.
[[nodiscard]] std::vector<pid_t> tree_of(pid_t pid);
/// Every live or dead process whose group is `pgid`.
[[nodiscard]] std::vector<pid_t> members_of_group(pid_t pgid);
/// The first process below `pid` that is not a zombie and whose comm is `comm`.
[[nodiscard]] std::optional<pid_t> descendant_named(pid_t pid, const std::string& comm);

[[nodiscard]] bool is_alive(pid_t pid);  ///< there, and no zombie
[[nodiscard]] bool is_zombie(pid_t pid);
[[nodiscard]] bool is_stopped(pid_t pid);      ///< group-stop: state T
[[nodiscard]] bool is_traced(pid_t pid);       ///< but by the guard of a shell that was moved
[[nodiscard]] bool waits_in_write(pid_t pid);  ///< sleeps in a write(2)

struct FdFacts {
  std::string target;  ///< what /proc/PID/fd/N leads to
  unsigned flags = 0;  ///< as fdinfo has them, close-on-exec among them
  friend bool operator==(const FdFacts&, const FdFacts&) = default;
};
[[nodiscard]] std::map<int, FdFacts> fds_of(pid_t pid);
/// Descriptor numbers of `pid` that lead to the terminal `path`.
[[nodiscard]] std::vector<int> fds_on(pid_t pid, const std::string& path);

/// What must be the same after a grab that was refused. Compare with ==; prints itself.
struct ThreadFacts {
  std::string blocked, ignored, caught, pending, shared_pending;
  friend bool operator==(const ThreadFacts&, const ThreadFacts&) = default;
};
struct ProcFacts {
  pid_t ppid = 0, pgid = 0, sid = 0, tpgid = 0;
  dev_t tty = 0;
  bool stopped = false, traced = false;
  std::map<int, FdFacts> fds;
  std::map<pid_t, ThreadFacts> threads;
  friend bool operator==(const ProcFacts&, const ProcFacts&) = default;
};
using TreeFacts = std::map<pid_t, ProcFacts>;
[[nodiscard]] TreeFacts facts_of(const std::vector<pid_t>& pids);
/// Signal masks and dispositions only, which a move must not change either.
[[nodiscard]] std::map<pid_t, std::map<pid_t, ThreadFacts>> signals_of(
    const std::vector<pid_t>& pids);

void PrintTo(const ThreadFacts& facts, std::ostream* out);
void PrintTo(const ProcFacts& facts, std::ostream* out);

}  // namespace grab::test
