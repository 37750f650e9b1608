// SPDX-License-Identifier: MIT
// Everything that a test starts is gone when the test ends, however it ends: orphans are given to
// the test process (it is a child subreaper), which ends all its descendants by their pids.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <optional>

namespace grab::test {

using Duration = std::chrono::milliseconds;
// A loaded machine with two cores needs up to 2 s for what usually takes 50 ms; a limit only costs
// time where a test fails.
constexpr Duration kDeadline{10'000};
/// By how much every limit is longer: GRAB_TEST_SLOWNESS of the environment, for a machine that is
/// emulated; 1 without it.
[[nodiscard]] int slowness();

/// Asks again and again until it holds, at most `limit`; false when it never did. Reaps orphans
/// meanwhile.
[[nodiscard]] bool wait_until(const std::function<bool()>& holds, Duration limit = kDeadline);

/// Makes this process the reaper of what its descendants leave behind. Once is enough.
void adopt_orphans();
/// Reaps every child that has ended, and remembers how.
void reap();
/// The wait status of a process that reap() has reaped.
[[nodiscard]] std::optional<int> reaped_status(pid_t pid);
/// A process of that number was started: an earlier one, whose number it got, is not meant any
/// more.
void forget_reaped(pid_t pid);
/// Kills and reaps all descendants of this process. False if some would not go.
[[nodiscard]] bool end_all_descendants();

/// Ends this process, and everything it started, when it is still there after `limit`, with
/// `report` written to stderr; a test that hangs must not leave anything behind.
class Watchdog {
 public:
  Watchdog(std::chrono::seconds limit, std::function<void()> report);
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

 private:
  struct State;
  State* state_;
};

}  // namespace grab::test
