// SPDX-License-Identifier: MIT
#include "relay/groups.h"

#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <memory>

#include "relay/proc_info.h"

namespace grab::relay {
namespace {

constexpr pid_t kNoGroup = -1;  // 0 is a session whose leader is in an outer pid namespace

// The session of any process of that group, kNoGroup if there is none.
pid_t session_of(pid_t pgid) {
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

// Kernel: the number of a process group is in use as long as one process is in it, and all of them
// are of one session; afterwards a stranger may get it. A process that was moved vouches for its
// group. When those have ended, children born after the move may be in it still: then the session
// vouches. Source: credentials(7), setpgid(2).
bool Groups::is_ours(pid_t pgid) {
  if (pgid <= 1)
    return false;
  for (const ProcessRef& process : tree_.processes) {
    if (::getpgid(process.pid) != pgid)
      continue;
    const auto stat = read_stat(process.pid);
    if (stat && (process.start_time == 0 || stat->start_time == process.start_time)) {
      sessions_[pgid] = ::getsid(process.pid);
      return true;
    }
  }
  const auto noted = sessions_.find(pgid);
  return noted != sessions_.end() && session_of(pgid) == noted->second;
}

Groups::Groups(const MovedTree& tree) : tree_(tree) {
  for (const pid_t pgid : tree.follower_pgids)
    (void)is_ours(pgid);
  (void)is_ours(tree.job_pgid);
}

void Groups::signal(pid_t pgid, int signo) {
  if (is_ours(pgid))
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
