// SPDX-License-Identifier: MIT
// How long threads have been in the wait from which a tracer is about to wake them. The kernel does
// not say when a call began, but when a thread went to sleep, until something wakes it: so it is
// asked right before.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace grab::tracer {

class BegunWaits {
 public:
  /// Which of the threads wait in a call that may be an arch::timed_wait(): these note() can tell
  /// of. Before anything is stopped, for it takes its time (a second at most, where others use the
  /// processors).
  void look(const std::vector<pid_t>& tids);

  /// Right before the thread is interrupted.
  void note(pid_t tid);

  /// For a thread that has stopped: how long it had been in the call in which note() found it,
  /// never more than it had; nothing if it has left that call, or if the kernel does not say.
  [[nodiscard]] std::optional<std::chrono::nanoseconds> waited(pid_t tid) const;

 private:
  /// Of a thread that sleeps.
  struct Sleep {
    std::string call;         // the text of its syscall in /proc
    std::string transfer;     // and of its io
    std::uint64_t times = 0;  // that it has slept
    std::chrono::nanoseconds since{};
  };
  [[nodiscard]] static std::optional<Sleep> sleep_of(pid_t tid);

  /// Of each processor on which such a thread has slept: what CLOCK_MONOTONIC is ahead of the clock
  /// in which the kernel tells the time of a thread; nothing where that cannot be measured.
  std::map<int, std::optional<std::chrono::nanoseconds>> ahead_;
  std::map<pid_t, std::optional<Sleep>> threads_;
};

}  // namespace grab::tracer
