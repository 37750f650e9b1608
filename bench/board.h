// SPDX-License-Identifier: MIT
// The memory that the benchmark shares with the processes of its test tree: what each of them saw
// on its own clock. Nothing here asks grab anything.
#pragma once

#include <sys/types.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <ctime>

namespace grab::bench {

using Nanoseconds = std::int64_t;
inline constexpr Nanoseconds kMillisecond = 1'000'000;

inline Nanoseconds clock_now() {
  timespec t{};
  (void)::clock_gettime(CLOCK_MONOTONIC, &t);  // cannot fail for this clock
  return Nanoseconds{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

constexpr int kMostProcesses = 1000;

/// While the tree starts, before the contender starts, and since.
enum class Phase : std::size_t { kStart, kQuiet, kRun };
constexpr std::size_t kPhases = 3;

/// What one process of the tree writes, and the benchmark reads.
struct Slot {
  std::atomic<pid_t> pid{0};
  std::atomic<std::uint64_t> readings{0};  ///< of the clock
  std::atomic<Nanoseconds> moved_at{0};    ///< when descriptor 0 was another terminal, 0: not yet
  std::atomic<std::uint64_t> errors{0};    ///< sleeps that ended with an error (EINTR)
  /// The longest time between two readings that follow each other.
  std::array<std::atomic<Nanoseconds>, kPhases> longest_gap{};
  /// The longest time that a reading came after the end of its sleep. A process that spins has no
  /// sleep, so this is its gap.
  std::array<std::atomic<Nanoseconds>, kPhases> longest_delay{};
};

struct Board {
  std::atomic<Phase> phase{Phase::kStart};
  std::array<Slot, kMostProcesses> slots{};
};

}  // namespace grab::bench
