// SPDX-License-Identifier: MIT
// The unused end of a process's vDSO, where grab's code lies: the batch from its start on, and what
// outlives the move, the rest_code() of interrupted writes, from its end down.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>

#include "base/unique_fd.h"

namespace grab::tracer {

struct VdsoRoom {
  std::uint64_t start = 0;  ///< addresses in the process
  std::uint64_t end = 0;
  bool of_i386 = false;  ///< in the vDSO of 32-bit programs
  [[nodiscard]] bool contains(std::uint64_t address) const {
    return address >= start && address < end;
  }
};

/// The room in the vDSO of a thread that stands still; nothing if there is no vDSO as the kernel
/// made it: the process can have moved it, or put a file that it shares with others in its place.
/// `mem_fd` is its open memory, `hint` an address where the vDSO may well be, or 0.
[[nodiscard]] std::optional<VdsoRoom> find_vdso_room(pid_t tid, int mem_fd, std::uint64_t hint);

/// Bytes of each of the codes that stay.
[[nodiscard]] std::size_t kept_code_size(VdsoRoom room);

/// The lowest address for the rest of a write, so that a batch always has room below it.
[[nodiscard]] std::uint64_t first_kept_code(VdsoRoom room);

/// The room without the codes at its end that are, or were, the rest of a write. They stay for as
/// long as the process has this vDSO: a signal handler may be about to return into any of them.
[[nodiscard]] VdsoRoom without_kept_code(VdsoRoom room, int mem_fd);

/// /proc/TID/mem, for reading and writing.
[[nodiscard]] UniqueFd open_memory(pid_t tid);

}  // namespace grab::tracer
