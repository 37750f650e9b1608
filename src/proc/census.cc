// SPDX-License-Identifier: MIT
#include "proc/census.h"

#include <fcntl.h>
#include <unistd.h>

#include <string>

#include "proc/kernel.h"
#include "proc/parse.h"

namespace grab::proc {

Result<std::vector<pid_t>> Census::pids() {
  int err = 0;
  if (!proc_.valid())
    proc_ = open_at(AT_FDCWD, "/proc", O_RDONLY | O_DIRECTORY, &err);
  std::vector<int> pids;
  if (err == 0)
    err = list_numbers(proc_.get(), pids);
  if (err != 0)
    return fail_errno(err, "reading /proc");
  return pids;
}

Result<std::vector<CensusEntry>> Census::take() {
  GRAB_TRY(const std::vector<pid_t> all, pids());
  std::vector<CensusEntry> entries;
  entries.reserve(all.size());
  for (const pid_t pid : all) {
    // Kernel: getpgid(2) needs no permission, works on a zombie, and is some ten times cheaper
    // than /proc/PID/stat (0.4 against 5-10 us, seen on 6.18).
    if (const pid_t pgid = ::getpgid(pid); pgid >= 0)
      entries.push_back({pid, pgid});
  }
  return entries;
}

Result<std::unordered_map<pid_t, std::vector<pid_t>>> Census::children() {
  GRAB_TRY(const std::vector<pid_t> all, pids());
  std::unordered_map<pid_t, std::vector<pid_t>> children;
  std::string text;
  for (const pid_t pid : all) {
    const std::string path = std::to_string(pid) + "/stat";
    if (read_whole_at(proc_.get(), path.c_str(), text) != 0)
      continue;  // it has ended meanwhile
    GRAB_TRY(const Stat stat, parse_stat(text));
    children[stat.ppid].push_back(pid);
  }
  return children;
}

}  // namespace grab::proc
