// SPDX-License-Identifier: MIT
// Parsers of the texts in /proc/PID. They are pure, and they survive any text: what is cut off,
// garbled or out of range is an Error (kSystem without an errno), never a wrong value.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "proc/snapshot.h"

namespace grab::proc {

/// One "tfd:" line of an epoll set's fdinfo.
struct EpollTarget {
  int fd = -1;  ///< as it was numbered in the process that added it
  std::uint32_t events = 0;
  std::uint64_t data = 0;
  std::uint64_t inode = 0;  ///< of what is watched; 0 before Linux 4.13, which does not tell
  friend bool operator==(const EpollTarget&, const EpollTarget&) = default;
};

/// What grab needs of /proc/PID/fdinfo/FD. Source: proc_pid_fdinfo(5).
struct FdInfo {
  int flags = 0;  ///< file status flags, and O_CLOEXEC of the descriptor
  std::vector<EpollTarget> epoll_targets;
  std::optional<int> tty_index;  ///< of a ptmx: N of its /dev/pts/N
  friend bool operator==(const FdInfo&, const FdInfo&) = default;
};

/// Whether what /proc/PID/fdinfo/FD says of an io_uring may mean a call that waits for a terminal,
/// or a terminal that was registered as one of its files.
[[nodiscard]] bool may_wait_for_terminal(std::string_view ring_fdinfo);

/// A device number as the kernel prints it in "tty_nr", and as TIOCGDEV gives it.
[[nodiscard]] dev_t decode_device(std::uint32_t encoded);

/// /proc/PID/stat, whole with its newline. Source: proc_pid_stat(5).
[[nodiscard]] Result<Stat> parse_stat(std::string_view text);

/// Of the same text: the processor that the thread last ran on.
[[nodiscard]] Result<int> parse_stat_processor(std::string_view text);

/// /proc/PID/status, whole. Source: proc_pid_status(5).
[[nodiscard]] Result<Status> parse_status(std::string_view text);

/// What grab needs of /proc/PID/task/TID/sched.
struct Scheduling {
  /// When the thread last began to run or, of one that sleeps, when it went to sleep; in the clock
  /// of its processor.
  std::chrono::nanoseconds exec_start{};
  std::uint64_t voluntary_switches = 0;  ///< how often it has gone to sleep, or stopped
};

/// /proc/PID/task/TID/sched, whole. Source: kernel/sched/debug.c proc_sched_show_task.
[[nodiscard]] Result<Scheduling> parse_sched(std::string_view text);

/// The number of the call that a thread waits in, out of its /proc/PID/task/TID/syscall; nothing if
/// it runs, or waits in none. Source: proc_pid_syscall(5).
[[nodiscard]] std::optional<std::int64_t> parse_syscall_number(std::string_view text);

/// /proc/PID/fdinfo/FD. Source: proc_pid_fdinfo(5).
[[nodiscard]] Result<FdInfo> parse_fdinfo(std::string_view text);

/// /proc/PID/task/TID/children: pids in the order the kernel has them.
[[nodiscard]] Result<std::vector<pid_t>> parse_children(std::string_view text);

/// The vDSO's address out of the /proc/PID/auxv of a 64-bit process, 0 if it has none.
/// Source: getauxval(3) AT_SYSINFO_EHDR.
[[nodiscard]] Result<std::uint64_t> parse_auxv_vdso(std::string_view bytes);

/// The soft RLIMIT_NOFILE out of /proc/PID/limits. Source: proc_pid_limits(5).
[[nodiscard]] Result<std::uint64_t> parse_limits_nofile(std::string_view text);

/// /proc/PID/cmdline: its words joined by spaces. Any bytes will do.
[[nodiscard]] std::string parse_cmdline(std::string_view bytes);

/// 32 or 64 from the first bytes of an ELF file, 0 if it is none.
[[nodiscard]] int parse_elf_class(std::string_view bytes);
/// Whether it is a program for the x32 ABI, from the first 20 bytes.
[[nodiscard]] bool is_x32_elf(std::string_view bytes);

}  // namespace grab::proc
