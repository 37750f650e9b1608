// SPDX-License-Identifier: MIT
// Tables of one call and a stop, for what a batch needs before and behind its own. Pure.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <limits>

#include "arch/batch.h"

namespace grab::tracer {

/// No call returns this: what it returns is then told at the stop.
inline constexpr std::int32_t kNeverReturned = std::numeric_limits<std::int32_t>::min();

/// An argument that is the value itself, and no address in the table's data.
inline arch::Argument number(std::int64_t value) {
  return arch::Argument{value, false};
}

/// Memory of the process for a table that the vDSO has no room for.
struct Page {
  std::uint64_t address = 0;
  std::size_t size = 0;
  bool writable = false;
};

/// Tables that map and unmap a page or close a descriptor, and stop; without a tracer the first
/// unmaps it again. Process and thread as they know themselves.
[[nodiscard]] arch::CallTable make_map_table(Page page, pid_t pid, pid_t tid,
                                             std::uint64_t signal_mask);
[[nodiscard]] arch::CallTable make_unmap_table(Page page, pid_t pid, pid_t tid,
                                               std::uint64_t signal_mask);
[[nodiscard]] arch::CallTable make_close_table(int fd, pid_t pid, pid_t tid,
                                               std::uint64_t signal_mask);
/// Stops, restores the mask and ends; with `waits_for_guard` as the table of a guarded shell does.
[[nodiscard]] arch::CallTable make_end_table(pid_t pid, pid_t tid, std::uint64_t signal_mask,
                                             bool waits_for_guard);

/// The call that gives the guard of a shell (job_guard.h) the time to seize it: a second at the
/// most. What it needs is added to the table.
[[nodiscard]] arch::Call wait_for_guard(arch::CallTable& table);

}  // namespace grab::tracer
