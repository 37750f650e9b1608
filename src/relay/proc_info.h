// SPDX-License-Identifier: MIT
// What the relay asks about processes that are not its own: alive or not, stopped or not, how they
// ended. No file is kept open; nothing is cached.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/error.h"
#include "base/unique_fd.h"
#include "relay/relay.h"

namespace grab::relay {

struct ProcStat {  ///< of /proc/PID/stat
  char state = '?';
  pid_t ppid = 0, pgid = 0;
  pid_t foreground_pgid = -1;  ///< of its controlling terminal; -1 without one
  unsigned terminal = 0;       ///< tty_nr as it stands there
  std::uint64_t start_time = 0;
  int exit_code = 0;  ///< a wait status; 0 where the kernel hides it
};
/// Survives any comm. Source: proc_pid_stat(5).
[[nodiscard]] std::optional<ProcStat> parse_stat(std::string_view text);
[[nodiscard]] std::optional<ProcStat> read_stat(pid_t pid);

struct ProcSignals {  ///< of /proc/PID/status
  std::uint64_t pending = 0, ignored = 0, caught = 0;
  [[nodiscard]] static constexpr bool has(std::uint64_t set, int signo) {
    return (set >> static_cast<unsigned>(signo - 1) & 1U) != 0;
  }
};
[[nodiscard]] std::optional<ProcSignals> parse_signals(std::string_view text);
[[nodiscard]] std::optional<ProcSignals> read_signals(pid_t pid);

/// The descriptor that a process (its main thread) waits for in read(2), as far as the kernel lets
/// us see it.
[[nodiscard]] std::optional<int> reads_from(pid_t pid);
/// The device that is open as that descriptor; 0 if it is none, or cannot be seen.
[[nodiscard]] dev_t device_of(pid_t pid, int fd);

/// A pidfd of that very process (not of a later one with its number), which may be a zombie;
/// invalid if it is no more. Close-on-exec. start_time 0: not known, not compared.
[[nodiscard]] Result<UniqueFd> open_pidfd(const ProcessRef& process);
/// The process of a pidfd has ended (it may be a zombie still).
[[nodiscard]] bool has_ended(int pidfd);
/// The wait status of a process that has ended and is not our child, if the kernel tells.
[[nodiscard]] std::optional<int> wait_status(const ProcessRef& process, int pidfd);

}  // namespace grab::relay
