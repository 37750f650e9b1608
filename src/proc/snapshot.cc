// SPDX-License-Identifier: MIT
#include "proc/snapshot.h"

#include <algorithm>

namespace grab::proc {

const Process* Snapshot::find(pid_t pid) const {
  const auto it = std::find_if(processes.begin(), processes.end(),
                               [pid](const Process& p) { return p.stat.pid == pid; });
  return it == processes.end() ? nullptr : &*it;
}

std::set<pid_t> file_servers(const Snapshot& snapshot) {
  std::set<pid_t> servers;
  for (const Process& process : snapshot.processes) {  // parents come before their children
    if (process.serves_files || servers.contains(process.stat.ppid))
      servers.insert(process.stat.pid);
  }
  return servers;
}

}  // namespace grab::proc
