// SPDX-License-Identifier: MIT
#include "relay/groups.h"

#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <memory>

namespace grab::relay {
namespace {

constexpr pid_t kNoGroup = -1;  // 0 is a session whose leader is in an outer pid namespace

// The session of any process of that group, kNoGroup if there is none.
pid_t session_by_proc(pid_t pgid) {
  const std::unique_ptr<DIR, int (*)(DIR*)> proc(::opendir("/proc"), ::closedir);
  if (!proc)
    return kNoGroup;
  while (const dirent* entry = ::readdir(proc.get())) {
    const auto pid = static_cast<pid_t>(std::strtol(entry->d_name, nullptr, 10));
    if (pid > 0 && ::getpgid(pid) == pgid)
      return ::getsid(pid);
  }
  return kNoGroup;
}

}  // namespace

Groups::Groups(const MovedTree& tree) : tree_(tree) {
  std::vector<pid_t> pgids = tree.follower_pgids;
  pgids.push_back(tree.job_pgid);
  const std::vector<pid_t> redrawn = groups_of(tree.redraw_pids);
  pgids.insert(pgids.end(), redrawn.begin(), redrawn.end());
  for (const pid_t pgid : pgids)
    sessions_[pgid] = session_of(pgid);
}

// Kernel: the number of a process group is in use as long as one process is in it, and all of them
// are of one session; afterwards a stranger may get it. The members may be processes that were
// born after the move, so that no pidfd of ours vouches for the group: the session does.
// Source: credentials(7).
pid_t Groups::session_of(pid_t pgid) const {
  if (pgid <= 1)
    return kNoGroup;
  for (const ProcessRef& process : tree_.processes) {
    if (::getpgid(process.pid) == pgid)
      return ::getsid(process.pid);
  }
  return session_by_proc(pgid);
}

void Groups::signal(pid_t pgid, int signo) const {
  const auto noted = sessions_.find(pgid);
  if (noted == sessions_.end() || noted->second == kNoGroup || session_of(pgid) != noted->second)
    return;
  (void)::kill(-pgid, signo);
}

std::vector<pid_t> groups_of(const std::vector<pid_t>& pids) {
  std::vector<pid_t> pgids;
  for (const pid_t pid : pids) {
    if (const pid_t pgid = ::getpgid(pid); pgid > 0)
      pgids.push_back(pgid);
  }
  std::sort(pgids.begin(), pgids.end());
  pgids.erase(std::unique(pgids.begin(), pgids.end()), pgids.end());
  return pgids;
}

}  // namespace grab::relay
