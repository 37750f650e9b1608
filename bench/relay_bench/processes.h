// SPDX-License-Identifier: MIT
// What the kernel says of the processes of a contender. Nothing here asks the contender anything.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <set>
#include <vector>

#include "base/error.h"
#include "board.h"

namespace grab::bench {

/// All descendants of `root`, without itself, without zombies, and without those in `without` and
/// their descendants.
[[nodiscard]] std::vector<pid_t> descendants_of(pid_t root, const std::set<pid_t>& without);

/// The CPU time that these processes have used, all threads together. Errors: kGone, kSystem.
/// Source: clock_getcpuclockid(3); unlike /proc/PID/stat it does not count in ticks of 10 ms.
[[nodiscard]] Result<Nanoseconds> cpu_time_of(const std::vector<pid_t>& pids);

/// In bytes. What cannot be read is negative: the smaps of a set-group-ID program (screen).
struct Memory {
  double rss = 0;          ///< VmRSS, all processes added: pages that they share count once each
  double rss_largest = 0;  ///< VmRSS of the largest process
  double pss = 0;          ///< Pss: a page that n processes share counts 1/n in each
  double own = 0;          ///< Private_Clean + Private_Dirty
};
[[nodiscard]] Result<Memory> memory_of(const std::vector<pid_t>& pids);

/// How often their threads were switched to another, of their own will or not: each wakeup ends in
/// one of the two.
[[nodiscard]] Result<std::uint64_t> switches_of(const std::vector<pid_t>& pids);

}  // namespace grab::bench
