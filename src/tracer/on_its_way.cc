// SPDX-License-Identifier: MIT
#include "tracer/on_its_way.h"

#include "proc/speaker.h"

namespace grab::tracer {

using std::chrono::milliseconds, std::chrono::steady_clock;

OnItsWay::OnItsWay(pid_t pid) : pid_(pid), ran_before_(proc::run_time_of(pid)) {}

bool OnItsWay::may_be(char state) const {
  constexpr milliseconds kUsual{500}, kLongest{10'000};
  constexpr milliseconds kBatch{10};  // takes less than one to run, but for thousands of files
  const auto waited = steady_clock::now() - begun_;
  if (waited < kUsual)
    return true;
  if (waited > kLongest || (state != 'R' && state != 't' && state != 'T'))
    return false;
  const auto now = proc::run_time_of(pid_);
  return ran_before_ && now && *now - *ran_before_ < kBatch;
}

}  // namespace grab::tracer
