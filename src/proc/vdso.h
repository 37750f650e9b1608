// SPDX-License-Identifier: MIT
// Where the vDSO of a process is mapped. The kernel is asked, not the process: its auxiliary vector
// lies in its own memory and can be set by it, and the mapping can have been moved or replaced.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace grab::proc {

struct VdsoMapping {
  std::uint64_t start = 0;
  std::uint64_t size = 0;
  bool executable = false;
  friend bool operator==(const VdsoMapping&, const VdsoMapping&) = default;
};

/// The mapping that the kernel calls [vdso]; nothing if there is none, or if it cannot be asked.
/// `maps_fd` is an open /proc/PID/maps; `hint` is an address where it may well be, or 0.
[[nodiscard]] std::optional<VdsoMapping> find_vdso(int maps_fd, std::uint64_t hint);

/// The same from the text of /proc/PID/maps.
// Kernel: the name of a mapped file begins with "/", that of memory that a program has named with
// "[anon", so that no program can make a mapping of its own be called [vdso]. Source:
// proc_pid_maps(5), PR_SET_VMA(2const).
[[nodiscard]] std::optional<VdsoMapping> parse_maps_vdso(std::string_view maps);

}  // namespace grab::proc
