// SPDX-License-Identifier: MIT
// A small pure model of what the kernel keeps of processes, groups, sessions, terminals and
// descriptors, with its rules, so that a plan can be carried out without any process: what /proc
// would say of it, and the system calls that a batch makes. Every rule names the function it
// models; signals are counted, not acted on.
#pragma once

#include <sys/types.h>

#include <compare>
#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "arch/batch.h"
#include "proc/snapshot.h"

namespace grab::test::model {

/// Terminals are numbered; the number is also the device. 0 is none.
constexpr int kOldTerminal = 1;    // of the session that all begin in
constexpr int kOtherTerminal = 2;  // nobody's controlling terminal
constexpr int kNewTerminal = 3;    // where the tree is moved to

constexpr pid_t kInit = 1;
constexpr pid_t kShell = 10;   // leader of the session on kOldTerminal, parent of the first job
constexpr pid_t kGrab = 90;    // of no tree
constexpr pid_t kTracer = 91;  // holds the donor's descriptors
constexpr pid_t kFirstPid = 100;

enum class FileKind { kOther, kTerminal, kEpoll, kPidfd };

struct Watch {
  std::uint32_t events = 0;
  std::uint64_t data = 0;
  friend auto operator<=>(const Watch&, const Watch&) = default;
};

struct File {  ///< an open file description
  FileKind kind = FileKind::kOther;
  int terminal = 0;
  pid_t pid = 0;  ///< of a pidfd
  int flags = 0;
  std::map<std::pair<int, int>, Watch> watches;  ///< of an epoll set, by descriptor and file
  friend bool operator==(const File&, const File&) = default;
};

struct Fd {
  int file = -1;
  bool close_on_exec = false;
  friend bool operator==(const Fd&, const Fd&) = default;
};
using Table = std::map<int, Fd>;

struct Task {
  pid_t pid = 0, ppid = 0, pgid = 0, sid = 0;
  int tty = 0;  ///< controlling terminal
  int table = -1;
  bool zombie = false, stopped = false;
  int hangups = 0, continues = 0;  ///< SIGHUP and SIGCONT that the kernel has sent
  proc::SignalSet ignored, caught;
  std::uint64_t nofile_limit = 1024;
  friend bool operator==(const Task&, const Task&) = default;
};

struct TerminalState {
  pid_t sid = 0, foreground_pgid = 0;
  friend bool operator==(const TerminalState&, const TerminalState&) = default;
};

class Kernel {
 public:
  /// init, the shell with its terminal as 0-2, and a first job of it in the foreground.
  Kernel();

  // What programs do, for making any tree. Each returns whether the kernel allowed it.
  pid_t fork(pid_t pid, bool share_table);
  bool setpgid(pid_t caller, pid_t pid, pid_t pgid);
  bool setsid(pid_t pid);
  bool drop_terminal(pid_t pid, int terminal);
  bool take_terminal(pid_t pid, int terminal);
  bool set_foreground(pid_t pid, int terminal, pid_t pgid);
  bool exit(pid_t pid);
  bool reap(pid_t pid);
  int open(pid_t pid, File file, bool close_on_exec);
  int duplicate(pid_t pid, int fd, int lowest, bool close_on_exec);
  bool duplicate_to(pid_t pid, int fd, int to, bool close_on_exec);
  bool close(pid_t pid, int fd);
  bool watch(pid_t pid, int epoll_fd, int fd, Watch watch);
  bool unwatch(pid_t pid, int epoll_fd, int fd);

  /// One call of a batch; -errno where the kernel refuses.
  std::int64_t call(pid_t pid, const arch::Call& call, const std::vector<std::byte>& data);

  /// What the reader would say of the tree of `named`.
  [[nodiscard]] proc::Snapshot snapshot(pid_t named, bool force_stdio) const;

  [[nodiscard]] const Task& task(pid_t pid) const { return tasks_.at(pid); }
  [[nodiscard]] Task& task(pid_t pid) { return tasks_.at(pid); }
  [[nodiscard]] const std::map<pid_t, Task>& tasks() const { return tasks_; }
  [[nodiscard]] const Table& table(pid_t pid) const { return tables_.at(task(pid).table); }
  [[nodiscard]] const File& file(int index) const {
    return files_.at(static_cast<std::size_t>(index));
  }
  [[nodiscard]] File& file(int index) { return files_.at(static_cast<std::size_t>(index)); }
  [[nodiscard]] const TerminalState& terminal(int number) const { return terminals_.at(number); }
  [[nodiscard]] bool group_exists(pid_t pgid) const;
  /// Equal but for files that nobody has open.
  [[nodiscard]] bool same_as(const Kernel& other) const;
  [[nodiscard]] std::string show() const;

 private:
  Table& own_table(pid_t pid) { return tables_.at(task(pid).table); }
  const Fd* find_fd(pid_t pid, int fd) const;
  int lowest_free(pid_t pid, int lowest) const;
  void forget_closed();
  void clear_session_terminal(pid_t sid);
  void hang_up(int terminal, bool on_exit);
  std::int64_t ioctl(pid_t pid, std::uint64_t fd, long request, std::int32_t argument);
  std::int64_t get_fd(pid_t pid, int pidfd, int fd);
  std::vector<pid_t> tree_of(pid_t named) const;

  std::map<pid_t, Task> tasks_;
  std::map<int, Table> tables_;
  std::vector<File> files_;
  std::map<int, TerminalState> terminals_;
  pid_t next_pid_ = kFirstPid;
  int next_table_ = 0;
};

}  // namespace grab::test::model
