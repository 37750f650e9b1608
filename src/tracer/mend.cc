// SPDX-License-Identifier: MIT
#include "tracer/mend.h"

#include <fcntl.h>
#include <signal.h>

#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "arch/batch.h"
#include "base/unique_fd.h"
#include "proc/surroundings.h"
#include "proc/vdso.h"

namespace grab::tracer {
namespace {

// Kernel: the last field is the instruction pointer, of a stopped thread too. Source:
// proc_pid_syscall(5).
std::uint64_t instruction_pointer_of(const std::string& task) {
  std::ifstream file(task + "/syscall");
  std::string field;
  for (std::string next; file >> next;)
    field = next;
  std::uint64_t ip = 0;
  return std::sscanf(field.c_str(), "%" SCNx64, &ip) == 1 ? ip : 0;
}

bool is_in_batch(pid_t pid) {
  const arch::VdsoTail tail = arch::vdso_tail();
  const std::string base = "/proc/" + std::to_string(pid);
  const UniqueFd maps(open((base + "/maps").c_str(), O_RDONLY | O_CLOEXEC));
  const auto vdso = maps.valid() ? proc::find_vdso(maps.get(), 0) : std::nullopt;
  if (!vdso || tail.size == 0)
    return false;
  std::error_code error;
  for (const auto& task : std::filesystem::directory_iterator(base + "/task", error)) {
    const std::uint64_t ip = instruction_pointer_of(task.path());
    if (ip >= vdso->start + tail.offset && ip < vdso->start + vdso->size)
      return true;
  }
  return false;
}

/// The stopped ones of the tree and of the old shell's other children: a command of a pipeline that
/// has left its group with an unfinished move is none of the tree.
std::vector<pid_t> stopped_candidates(const proc::Snapshot& snapshot) {
  std::set<pid_t> pids;
  for (const proc::Process& process : snapshot.processes) {
    if (process.stat.state == 'T')
      pids.insert(process.stat.pid);
  }
  if (!snapshot.parent)
    return {pids.begin(), pids.end()};
  const std::string shell = std::to_string(snapshot.parent->stat.pid);
  std::ifstream children("/proc/" + shell + "/task/" + shell + "/children");
  for (pid_t child = 0; children >> child;) {
    const auto stat = proc::stat_of(child);
    if (stat && stat->state == 'T')
      pids.insert(child);
  }
  return {pids.begin(), pids.end()};
}

}  // namespace

bool mend_half_moved(const proc::Snapshot& snapshot) {
  constexpr std::chrono::milliseconds kLimit{100};  // a batch takes less than one
  constexpr std::chrono::milliseconds kMoment{1};
  std::vector<pid_t> inside = stopped_candidates(snapshot);
  std::erase_if(inside, [](pid_t pid) { return !is_in_batch(pid); });
  const auto deadline = std::chrono::steady_clock::now() + kLimit;
  for (const pid_t pid : inside) {
    (void)kill(pid, SIGCONT);
    while (is_in_batch(pid) && std::chrono::steady_clock::now() < deadline)
      std::this_thread::sleep_for(kMoment);
  }
  return !inside.empty();
}

}  // namespace grab::tracer
