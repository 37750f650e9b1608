// SPDX-License-Identifier: MIT
// Notices that a tracer does not get on: it waits in one call for something that may never come,
// such as a file system whose server is of the tree and stands.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>

namespace grab::tracer {

class Standstill {
 public:
  static constexpr std::chrono::milliseconds kLook{100};
  static constexpr std::chrono::milliseconds kLimit{3'000};

  explicit Standstill(pid_t pid) : pid_(pid) {}

  /// To be asked every kLook. True when the process has slept all the time of kLimit, without a
  /// moment on a processor. One that waits for a processor, or is stopped, does not count.
  [[nodiscard]] bool lasts();

 private:
  pid_t pid_;
  std::optional<std::chrono::nanoseconds> ran_;
  int looks_ = 0;  ///< that found it so; not a time, which goes on when we stand
};

}  // namespace grab::tracer
