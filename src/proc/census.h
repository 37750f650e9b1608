// SPDX-License-Identifier: MIT
// One look at every process there is: its pid and its process group, without reading any file of
// it.
#pragma once

#include <sys/types.h>

#include <unordered_map>
#include <vector>

#include "base/error.h"
#include "base/unique_fd.h"

namespace grab::proc {

struct CensusEntry {
  pid_t pid = 0;
  pid_t pgid = 0;  ///< 0 for a kernel thread, and for a group that our pid namespace does not see
};

class Census {
 public:
  /// Every process, zombies too, by ascending pid.
  [[nodiscard]] Result<std::vector<CensusEntry>> take();

  /// The children of every process by the ppid of /proc/PID/stat: for a kernel without the children
  /// files (CONFIG_PROC_CHILDREN). Slow.
  [[nodiscard]] Result<std::unordered_map<pid_t, std::vector<pid_t>>> children();

 private:
  [[nodiscard]] Result<std::vector<pid_t>> pids();
  UniqueFd proc_;
};

}  // namespace grab::proc
