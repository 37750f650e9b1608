// SPDX-License-Identifier: MIT
#include "tracer/standstill.h"

#include <fstream>
#include <string>

#include "proc/surroundings.h"

namespace grab::tracer {
namespace {

// Source: Documentation/scheduler/sched-stats.rst, /proc/<pid>/schedstat.
std::optional<std::int64_t> run_time_of(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/schedstat");
  std::int64_t time = 0;
  return file >> time ? std::optional(time) : std::nullopt;
}

bool sleeps(pid_t pid) {
  const auto stat = proc::stat_of(pid);
  return stat && (stat->state == 'S' || stat->state == 'D');
}

}  // namespace

bool Standstill::lasts() {
  const auto ran = run_time_of(pid_);
  const bool same = ran && ran == ran_ && sleeps(pid_);
  ran_ = ran;
  looks_ = same ? looks_ + 1 : 0;
  return looks_ >= kLimit / kLook;
}

}  // namespace grab::tracer
