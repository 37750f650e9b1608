// SPDX-License-Identifier: MIT
#include "tracer/losses.h"

#include "tracer/refusal.h"

namespace grab::tracer {

// Kernel: closing any descriptor of a file gives up the process's record locks on it -> a number is
// not taken from its file, not for an instant, in a process that has such locks. Source: fcntl(2).
const char* why_left(const proc::StaleWatch& stale) {
  if (stale.stands_for < 0)
    return "of a terminal that it has closed and that others have open";
  if (stale.of_contained)
    return "that is closed, or another file, by now; that is not mended in a container";
  if (stale.in_use && stale.locks)
    return "which is another file by now and cannot be lent, for it has locks (fcntl)";
  return nullptr;
}

std::vector<std::string> losses(const proc::Snapshot& snapshot, const MoveOptions& options) {
  std::vector<std::string> losses;
  for (const proc::Process& process : snapshot.processes) {
    if (process.is_zombie() || stays_behind(process, snapshot, options))
      continue;
    if (!process.waiting_rings.empty())
      losses.push_back(
          name_of(process) + " has calls under way by io_uring (descriptor " +
          std::to_string(process.waiting_rings.front()) +
          "): one that waits for its terminal stays with the old one, and takes what is typed "
          "there; one that is made after the move waits here");
    if (!process.foreign_sets.empty())
      losses.push_back(name_of(process) + " sees no keys by its epoll set " +
                       std::to_string(process.foreign_sets.front()) +
                       ", which is its parent's, too: " +
                       (snapshot.parent ? name_of(*snapshot.parent) : "that one") +
                       " stays, and keeps its keys");
    for (const proc::StaleWatch& stale : process.stale_watches) {
      if (const char* why = why_left(stale); why != nullptr)
        losses.push_back(name_of(process) +
                         " may see no keys: it waits for them by epoll, by the number " +
                         std::to_string(stale.watch.target_fd) + ", " + why);
    }
  }
  return losses;
}

}  // namespace grab::tracer
