// SPDX-License-Identifier: MIT
// What a shell is told, and how far that has come: in memory shared by those who tell, since each
// may be killed, and shown to the next grab, whose own telling takes it over.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "base/unique_fd.h"
#include "tracer/tell.h"

namespace grab::tracer {

struct Progress {
  enum class Step : unsigned char { kUntold, kDoubtful, kTold };
  struct Child {
    pid_t pid = 0;
    pid_t pgid = 0;       ///< the job's group as the shell knows it
    int wait_status = 0;  ///< what it is said to have ended with
    std::atomic<Step> step = Step::kUntold;
  };
  static constexpr std::size_t kMaxChildren = 4000;  // of all jobs and one parent

  pid_t shell = 0;
  std::uint64_t shell_start_time = 0;
  using Flag = std::atomic<unsigned char>;
  Flag guards = 0;       ///< as Telling::guard, of any job
  Flag interrupted = 0;  ///< the `wait` has been broken off
  std::atomic<std::uint32_t> count = 0;
  Child children[kMaxChildren];

  /// Adds what is to be told. False if there is no room.
  [[nodiscard]] bool add(const Telling& telling);
  /// Adds what another has told this shell or not yet, and what it guards; what is there already
  /// goes on from where either has come. False if there is no room.
  [[nodiscard]] bool add(const Progress& other);
  /// All that the other one has, this one has, too.
  [[nodiscard]] bool covers(const Progress& other) const;
  [[nodiscard]] bool is_told() const;

  [[nodiscard]] Child* begin() { return children; }
  [[nodiscard]] Child* end() { return children + count; }
  [[nodiscard]] const Child* begin() const { return children; }
  [[nodiscard]] const Child* end() const { return children + count; }

 private:
  Child* place_of(pid_t pid);
};

/// Shared with all that is forked from here on.
struct SharedProgress {
  Progress* progress = nullptr;  ///< nullptr if there is no memory; never unmapped
  /// For kGuardMemory. Invalid where this user may have no such memory (ulimit -f): then nobody
  /// can take it over.
  UniqueFd memory;
};
[[nodiscard]] SharedProgress share_progress();
/// Has it at kGuardMemory, in the place of whatever is there, or nothing if it is invalid.
void place_for_next_grab(UniqueFd& memory);

/// What is in the memory of another process, to which `path` leads. nullptr where that is no such
/// memory of this user's, or not about this shell.
[[nodiscard]] std::unique_ptr<Progress> read_progress(const std::string& path, uid_t owner,
                                                      pid_t shell, std::uint64_t shell_start_time);
/// What the guard that traces the shell, of another grab, has told it and guards. nullptr where
/// none does, or what it shows is not to be believed.
[[nodiscard]] std::unique_ptr<Progress> progress_of_guard(pid_t shell,
                                                          std::uint64_t shell_start_time);

}  // namespace grab::tracer
