// SPDX-License-Identifier: MIT
#include "proc/snapshot.h"

#include <algorithm>

namespace grab::proc {

const Process* Snapshot::find(pid_t pid) const {
  const auto it = std::find_if(processes.begin(), processes.end(),
                               [pid](const Process& p) { return p.stat.pid == pid; });
  return it == processes.end() ? nullptr : &*it;
}

}  // namespace grab::proc
