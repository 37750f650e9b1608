// SPDX-License-Identifier: MIT
#include "proc/speaker.h"

#include <fcntl.h>

#include <cstdint>
#include <sstream>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "proc/kernel.h"
#include "proc/surroundings.h"

namespace grab::proc {
namespace {

bool has_ended(const Stat& stat) {
  return stat.state == 'Z' || stat.state == 'X';
}

struct Speaker {
  pid_t tid = 0;
  Stat stat;
};

// Kernel: a main thread that has ended before the others stays a zombie, and is what
// /proc/PID/stat and schedstat show. Source: pthread_exit(3) NOTES, proc_pid_stat(5); seen.
std::optional<Speaker> find_speaker(pid_t pid) {
  const std::optional<Stat> main_thread = stat_of(pid);
  if (!main_thread)
    return std::nullopt;
  if (!has_ended(*main_thread) || main_thread->num_threads <= 1)
    return Speaker{pid, *main_thread};
  int err = 0;
  const std::string path = "/proc/" + std::to_string(pid) + "/task";
  const UniqueFd task = open_at(AT_FDCWD, path.c_str(), O_RDONLY | O_DIRECTORY, &err);
  std::vector<int> tids;
  if (task.valid())
    (void)list_numbers(task.get(), tids);
  for (const pid_t tid : tids) {
    const std::optional<Stat> thread = stat_of(tid);
    if (thread && !has_ended(*thread))
      return Speaker{tid, *thread};
  }
  return Speaker{pid, *main_thread};
}

}  // namespace

pid_t speaker_of(pid_t pid) {
  const std::optional<Speaker> speaker = find_speaker(pid);
  return speaker ? speaker->tid : pid;
}

std::optional<Stat> stat_of_process(pid_t pid) {
  std::optional<Stat> stat = stat_of(pid);
  if (!stat || !has_ended(*stat))
    return stat;
  if (const std::optional<Speaker> speaker = find_speaker(pid))
    stat->state = speaker->stat.state;
  return stat;
}

std::optional<std::chrono::nanoseconds> run_time_of(pid_t pid) {
  std::string text;
  const std::string path = "/proc/" + std::to_string(speaker_of(pid)) + "/schedstat";
  if (read_whole_at(AT_FDCWD, path.c_str(), text) != 0)
    return std::nullopt;
  std::istringstream in(text);
  std::int64_t time = 0;
  // Source: Documentation/scheduler/sched-stats.rst, /proc/<pid>/schedstat.
  return in >> time ? std::optional(std::chrono::nanoseconds(time)) : std::nullopt;
}

}  // namespace grab::proc
