// SPDX-License-Identifier: MIT
// How long to wait for a process that a dead tracer has left on its way through its batch.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>

namespace grab::tracer {

class OnItsWay {
 public:
  /// From now on.
  explicit OnItsWay(pid_t pid);

  /// Whether it may still be, in this state: as long as that usually takes, and longer if it waits
  /// for a processor, or has just come to a stop: where many wait, it may have had none yet. Not
  /// longer for one that waits for something else, which may take for ever, or that somebody else
  /// (a guard) holds.
  [[nodiscard]] bool may_be(char state) const;

 private:
  pid_t pid_;
  std::chrono::steady_clock::time_point begun_ = std::chrono::steady_clock::now();
  std::optional<std::chrono::nanoseconds> ran_before_;
};

}  // namespace grab::tracer
