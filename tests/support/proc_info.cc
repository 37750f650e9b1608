// SPDX-License-Identifier: MIT
#include "support/proc_info.h"

#include <dirent.h>
#include <limits.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <sstream>

namespace grab::test {
namespace {

std::string proc_path(pid_t pid, const std::string& rest) {
  return "/proc/" + std::to_string(pid) + "/" + rest;
}

std::string slurp(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

std::vector<int> numbers_in(const std::string& folder) {
  std::vector<int> numbers;
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(folder.c_str()), ::closedir);
  if (!dir)
    return numbers;
  while (const dirent* entry = ::readdir(dir.get())) {
    if (std::isdigit(static_cast<unsigned char>(entry->d_name[0])) != 0)
      numbers.push_back(std::atoi(entry->d_name));
  }
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

ThreadFacts thread_facts(pid_t pid, pid_t tid) {
  return {.blocked = status_field(pid, tid, "SigBlk"),
          .ignored = status_field(pid, tid, "SigIgn"),
          .caught = status_field(pid, tid, "SigCgt"),
          .pending = status_field(pid, tid, "SigPnd"),
          .shared_pending = status_field(pid, tid, "ShdPnd")};
}

}  // namespace

std::optional<ProcStat> read_stat(pid_t pid) {
  const std::string text = slurp(proc_path(pid, "stat"));
  const auto open = text.find('(');
  const auto close = text.rfind(')');  // comm may hold any of "() \n"
  if (open == std::string::npos || close == std::string::npos)
    return std::nullopt;
  ProcStat stat;
  stat.pid = pid;
  stat.comm = text.substr(open + 1, close - open - 1);
  std::istringstream rest(text.substr(close + 1));
  std::int64_t tty = 0;
  rest >> stat.state >> stat.ppid >> stat.pgid >> stat.sid >> tty >> stat.tpgid;
  stat.tty = static_cast<dev_t>(tty);
  return rest ? std::optional(stat) : std::nullopt;
}

std::string status_field(pid_t pid, pid_t tid, const std::string& key) {
  std::ifstream in(proc_path(pid, "task/" + std::to_string(tid) + "/status"));
  for (std::string line; std::getline(in, line);) {
    if (line.compare(0, key.size() + 1, key + ":") == 0) {
      const auto start = line.find_first_not_of(" \t", key.size() + 1);
      return start == std::string::npos ? std::string() : line.substr(start);
    }
  }
  return {};
}

std::vector<pid_t> threads_of(pid_t pid) {
  return numbers_in(proc_path(pid, "task"));
}

std::vector<pid_t> children_of(pid_t pid) {
  std::vector<pid_t> children;
  for (const pid_t other : numbers_in("/proc")) {
    if (const auto stat = read_stat(other); stat && stat->ppid == pid)
      children.push_back(other);
  }
  return children;
}

std::vector<pid_t> descendants_of(pid_t pid) {
  std::multimap<pid_t, pid_t> by_parent;
  for (const pid_t other : numbers_in("/proc")) {
    if (const auto stat = read_stat(other))
      by_parent.emplace(stat->ppid, other);
  }
  std::vector<pid_t> found{pid};
  for (std::size_t i = 0; i < found.size(); ++i) {
    const auto [first, last] = by_parent.equal_range(found[i]);
    std::for_each(first, last, [&](const auto& entry) { found.push_back(entry.second); });
  }
  found.erase(found.begin());
  return found;
}

std::vector<pid_t> tree_of(pid_t pid) {
  auto tree = descendants_of(pid);
  tree.insert(tree.begin(), pid);
  return tree;
}

std::vector<pid_t> members_of_group(pid_t pgid) {
  std::vector<pid_t> members;
  for (const pid_t pid : numbers_in("/proc")) {
    if (const auto stat = read_stat(pid); stat && stat->pgid == pgid)
      members.push_back(pid);
  }
  return members;
}

std::optional<pid_t> descendant_named(pid_t pid, const std::string& comm) {
  for (const pid_t other : descendants_of(pid)) {
    if (const auto stat = read_stat(other); stat && stat->comm == comm && stat->state != 'Z')
      return other;
  }
  return std::nullopt;
}

bool is_alive(pid_t pid) {
  const auto stat = read_stat(pid);
  return stat && stat->state != 'Z' && stat->state != 'X';
}

bool is_zombie(pid_t pid) {
  const auto stat = read_stat(pid);
  return stat && stat->state == 'Z';
}

// A shell that is guarded in this way has been moved, and goes on; so have its jobs.
static bool guards_jobs(pid_t tracer) {
  const auto stat = read_stat(tracer);
  return stat && stat->comm == "grab-jobs";
}

bool is_stopped(pid_t pid) {
  const auto stat = read_stat(pid);
  if (stat && stat->state == 't')
    return guards_jobs(std::atoi(status_field(pid, pid, "TracerPid").c_str()));
  return stat && stat->state == 'T';
}

bool is_traced(pid_t pid) {
  const auto tids = threads_of(pid);
  return std::any_of(tids.begin(), tids.end(), [pid](pid_t tid) {
    const std::string tracer = status_field(pid, tid, "TracerPid");
    return !tracer.empty() && tracer != "0" && !guards_jobs(std::atoi(tracer.c_str()));
  });
}

bool waits_in_write(pid_t pid) {
  const std::string call = slurp(proc_path(pid, "syscall"));
  const auto stat = read_stat(pid);
  // 4 is the number in 32-bit programs; in others it is a call that does not wait.
  bool writes = call.rfind("4 0x", 0) == 0;
  for (const int number : {SYS_write, SYS_writev, SYS_sendto})
    writes = writes || call.rfind(std::to_string(number) + " 0x", 0) == 0;
  return writes && stat && stat->state == 'S';
}

std::map<int, FdFacts> fds_of(pid_t pid) {
  std::map<int, FdFacts> fds;
  for (const int fd : numbers_in(proc_path(pid, "fd"))) {
    char target[PATH_MAX] = {};
    const auto size =
        ::readlink(proc_path(pid, "fd/" + std::to_string(fd)).c_str(), target, sizeof target - 1);
    if (size < 0)
      continue;  // closed meanwhile
    FdFacts facts;
    facts.target.assign(target, static_cast<std::size_t>(size));
    std::ifstream info(proc_path(pid, "fdinfo/" + std::to_string(fd)));
    for (std::string key; info >> key;) {
      if (key == "flags:")
        info >> std::oct >> facts.flags;
    }
    fds.emplace(fd, std::move(facts));
  }
  return fds;
}

std::vector<int> fds_on(pid_t pid, const std::string& path) {
  std::vector<int> numbers;
  for (const auto& [fd, facts] : fds_of(pid)) {
    if (facts.target == path)
      numbers.push_back(fd);
  }
  return numbers;
}

TreeFacts facts_of(const std::vector<pid_t>& pids) {
  TreeFacts tree;
  for (const pid_t pid : pids) {
    const auto stat = read_stat(pid);
    if (!stat)
      continue;
    ProcFacts facts{.ppid = stat->ppid,
                    .pgid = stat->pgid,
                    .sid = stat->sid,
                    .tpgid = stat->tpgid,
                    .tty = stat->tty,
                    .stopped = stat->state == 'T',
                    .traced = is_traced(pid),
                    .fds = fds_of(pid),
                    .threads = {}};
    for (const pid_t tid : threads_of(pid))
      facts.threads.emplace(tid, thread_facts(pid, tid));
    tree.emplace(pid, std::move(facts));
  }
  return tree;
}

std::map<pid_t, std::map<pid_t, ThreadFacts>> signals_of(const std::vector<pid_t>& pids) {
  std::map<pid_t, std::map<pid_t, ThreadFacts>> all;
  for (const pid_t pid : pids) {
    for (const pid_t tid : threads_of(pid))
      all[pid].emplace(tid, thread_facts(pid, tid));
  }
  return all;
}

void PrintTo(const ThreadFacts& facts, std::ostream* out) {
  *out << "blocked " << facts.blocked << " ignored " << facts.ignored << " caught " << facts.caught
       << " pending " << facts.pending << " shared pending " << facts.shared_pending;
}

void PrintTo(const ProcFacts& facts, std::ostream* out) {
  *out << "ppid " << facts.ppid << " pgid " << facts.pgid << " sid " << facts.sid << " tty "
       << facts.tty << " tpgid " << facts.tpgid << (facts.stopped ? " stopped" : "")
       << (facts.traced ? " traced" : "");
  for (const auto& [fd, info] : facts.fds)
    *out << "\n  fd " << fd << " " << info.target << " flags 0" << std::oct << info.flags
         << std::dec;
  for (const auto& [tid, thread] : facts.threads) {
    *out << "\n  tid " << tid << " ";
    PrintTo(thread, out);
  }
}

}  // namespace grab::test
