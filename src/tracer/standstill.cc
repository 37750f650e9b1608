// SPDX-License-Identifier: MIT
#include "tracer/standstill.h"

#include "proc/speaker.h"
#include "proc/surroundings.h"

namespace grab::tracer {
namespace {

bool sleeps(pid_t pid) {
  const auto stat = proc::stat_of(pid);
  return stat && (stat->state == 'S' || stat->state == 'D');
}

}  // namespace

bool Standstill::lasts() {
  const auto ran = proc::run_time_of(pid_);
  const bool same = ran && ran == ran_ && sleeps(pid_);
  ran_ = ran;
  looks_ = same ? looks_ + 1 : 0;
  return looks_ >= kLimit / kLook;
}

}  // namespace grab::tracer
