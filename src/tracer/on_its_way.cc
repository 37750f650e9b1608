// SPDX-License-Identifier: MIT
#include "tracer/on_its_way.h"

#include "proc/speaker.h"
#include "proc/surroundings.h"

namespace grab::tracer {

using std::chrono::milliseconds, std::chrono::steady_clock;

// Kernel: a tracer that is killed lets its tracees go somewhere on its way out, with its files
// closed already. Source: kernel/exit.c do_exit.
static bool is_traced_by_one_that_lives(pid_t pid) {
  const pid_t tracer = proc::tracer_of(proc::speaker_of(pid));
  const auto stat = tracer != 0 ? proc::stat_of(tracer) : std::nullopt;
  return stat && !proc::is_exiting(*stat);
}

OnItsWay::OnItsWay(pid_t pid) : pid_(pid), ran_before_(proc::run_time_of(pid)) {}

bool OnItsWay::may_be(char state) const {
  constexpr milliseconds kUsual{500}, kLongest{10'000};
  constexpr milliseconds kBatch{10};  // takes less than one to run, but for thousands of files
  const auto waited = steady_clock::now() - begun_;
  if (waited < kUsual)
    return true;
  if (waited > kLongest || (state != 'R' && state != 't' && state != 'T'))
    return false;
  if (state == 't' && is_traced_by_one_that_lives(pid_))
    return false;
  const auto now = proc::run_time_of(pid_);
  return ran_before_ && now && *now - *ran_before_ < kBatch;
}

}  // namespace grab::tracer
