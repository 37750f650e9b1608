// SPDX-License-Identifier: MIT
#include "proc/pid_numbers.h"

#include <linux/capability.h>

namespace grab::proc {

bool is_contained(const Process& process, const Self& self) {
  return process.ns.pid != self.ns.pid || process.ns.user != self.ns.user;
}

// Kernel: pidfd_open(2) finds only processes of the caller's pid namespace, and pidfd_getfd(2) is
// refused across user namespaces to who has no capability there. A process of ours in the
// namespaces of the tree would be a way out of its container. Who has fewer capabilities than we
// may take nothing from us either, whatever its ids, unless CAP_SYS_PTRACE is among them. Source:
// pid_namespaces(7), ptrace(2) "Ptrace access mode checking", CVE-2019-5736;
// security/commoncap.c cap_ptrace_access_check; seen: bwrap.
bool may_take(const Process& process, const Self& self) {
  constexpr std::uint64_t kMayTrace = 1ULL << CAP_SYS_PTRACE;
  const std::uint64_t has = process.status.capabilities;
  const bool powerless_root =
      process.status.uid.effective == 0 && (has & kMayTrace) == 0 && (self.permitted & ~has) != 0;
  return !is_contained(process, self) && !powerless_root;
}

pid_t number_for(const Snapshot& snapshot, const Process& seer, pid_t pid) {
  if (seer.ns.pid == snapshot.self.ns.pid)
    return pid;
  for (const Process& process : snapshot.processes) {
    if (process.ns.pid != seer.ns.pid)
      continue;
    const Status& status = process.status;
    if (process.stat.pid == pid && !status.ns_pids.empty())
      return status.ns_pids.back();
    if (process.stat.pgid == pid && !status.ns_pgids.empty())
      return status.ns_pgids.back();
  }
  return 0;
}

}  // namespace grab::proc
