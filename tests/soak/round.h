// SPDX-License-Identifier: MIT
// One tree: started, moved, moved again, with one of grab's processes killed every now and then,
// and watched all the time.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string>

#include "soak/processes.h"

namespace grab::soak {

/// What was done; shared by all lanes.
struct Counts {
  std::atomic<std::uint64_t> trees, processes, moves, moves_again, half_moved, refusals, harmed;
  std::atomic<std::uint64_t> relays_replaced, viewers_returned, epoll_interrupted;
  std::array<std::atomic<std::uint64_t>, static_cast<std::size_t>(Role::kCount)> kills;
  std::atomic<std::uint64_t> both_killed;  ///< a tracer and its starter, in one instant
  [[nodiscard]] std::uint64_t all_kills() const {
    std::uint64_t sum = 0;
    for (const auto& count : kills)
      sum += count;
    return sum;
  }
};

struct RoundOptions {
  std::string grab;    ///< path of the program
  std::uint64_t seed;  ///< of this tree: the same seed, the same tree and the same intentions
  bool keep_log;       ///< prints what was done though no harm was
};

/// Returns when the tree has been ended, with all that was started for it. Harm is counted, and
/// printed with all that was done.
void run_round(const RoundOptions& options, Counts& counts);

}  // namespace grab::soak
