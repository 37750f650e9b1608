// SPDX-License-Identifier: MIT
#include "relay_bench/processes.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>

namespace grab::bench {
namespace {

namespace fs = std::filesystem;

struct Process {
  pid_t parent = 0;
  char state = '?';
};

std::optional<Process> read_stat(const fs::path& folder) {
  std::ifstream file(folder / "stat");
  std::string line;
  if (!std::getline(file, line))
    return std::nullopt;
  const std::size_t name_end = line.rfind(')');  // the name may contain anything
  if (name_end == std::string::npos)
    return std::nullopt;
  Process process;
  std::istringstream rest(line.substr(name_end + 1));
  rest >> process.state >> process.parent;
  return rest ? std::optional(process) : std::nullopt;
}

std::map<pid_t, Process> all_processes() {
  std::map<pid_t, Process> all;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator("/proc", error)) {
    const pid_t pid = std::atoi(entry.path().filename().c_str());
    if (pid <= 0)
      continue;
    if (const auto process = read_stat(entry.path()))
      all[pid] = *process;
  }
  return all;
}

// The number of a line "Name:  123 kB"; of all lines together whose name begins with `name`.
std::optional<double> field(const fs::path& path, std::string_view name) {
  std::ifstream file(path);
  std::optional<double> sum;
  for (std::string line; std::getline(file, line);)
    if (line.compare(0, name.size(), name) == 0)
      sum = sum.value_or(0) + std::strtod(line.c_str() + line.find(':') + 1, nullptr);
  return sum;
}

fs::path proc(pid_t pid) {
  return fs::path("/proc") / std::to_string(pid);
}

tl::unexpected<Error> gone(pid_t pid) {
  return fail(ErrorKind::kGone, "process " + std::to_string(pid) + " of the contender has gone");
}

}  // namespace

std::vector<pid_t> descendants_of(pid_t root, const std::set<pid_t>& without) {
  const std::map<pid_t, Process> all = all_processes();
  const auto belongs = [&](pid_t pid) {
    while (pid > 1 && without.count(pid) == 0) {
      const auto found = all.find(pid);
      if (found == all.end())
        return false;
      pid = found->second.parent;
      if (pid == root)
        return true;
    }
    return false;
  };
  std::vector<pid_t> pids;
  for (const auto& [pid, process] : all)
    if (process.state != 'Z' && belongs(pid))
      pids.push_back(pid);
  return pids;
}

Result<Nanoseconds> cpu_time_of(const std::vector<pid_t>& pids) {
  Nanoseconds sum = 0;
  for (const pid_t pid : pids) {
    clockid_t clock{};
    timespec time{};
    if (::clock_getcpuclockid(pid, &clock) != 0 || ::clock_gettime(clock, &time) != 0)
      return gone(pid);
    sum += Nanoseconds{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
  }
  return sum;
}

Result<Memory> memory_of(const std::vector<pid_t>& pids) {
  constexpr double kKiB = 1024;
  Memory memory;
  for (const pid_t pid : pids) {
    const auto rss = field(proc(pid) / "status", "VmRSS:");
    if (!rss)
      return gone(pid);
    memory.rss += *rss * kKiB;
    memory.rss_largest = std::max(memory.rss_largest, *rss * kKiB);
    const fs::path rollup = proc(pid) / "smaps_rollup";
    const auto pss = field(rollup, "Pss:");
    const auto own = field(rollup, "Private_");
    const bool readable = pss && own && memory.pss >= 0;
    memory.pss = readable ? memory.pss + *pss * kKiB : -1;
    memory.own = readable ? memory.own + *own * kKiB : -1;
  }
  return memory;
}

Result<std::uint64_t> switches_of(const std::vector<pid_t>& pids) {
  std::uint64_t sum = 0;
  for (const pid_t pid : pids) {
    std::error_code error;
    for (const auto& task : fs::directory_iterator(proc(pid) / "task", error)) {
      const auto voluntary = field(task.path() / "status", "voluntary_ctxt_switches:");
      const auto others = field(task.path() / "status", "nonvoluntary_ctxt_switches:");
      if (!voluntary || !others)
        return gone(pid);
      sum += static_cast<std::uint64_t>(*voluntary + *others);
    }
    if (error)
      return gone(pid);
  }
  return sum;
}

}  // namespace grab::bench
