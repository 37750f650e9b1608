// SPDX-License-Identifier: MIT
// Signals to the process groups of a tree, and to no other that has got one of their numbers since.
#pragma once

#include <sys/types.h>

#include <map>
#include <vector>

#include "relay/relay.h"

namespace grab::relay {

class Groups {
 public:
  /// `tree` must outlive this.
  explicit Groups(const MovedTree& tree);

  /// Sends `signo` to the group if it is still one of the tree's. That it has gone, or that the
  /// kernel does not let us, is no error here: the tree goes on as it is.
  void signal(pid_t pgid, int signo);

 private:
  [[nodiscard]] bool is_ours(pid_t pgid);

  const MovedTree& tree_;
  std::map<pid_t, pid_t> sessions_;  // of each group, as last seen
};

/// The process group of each of these processes that is alive, once each.
[[nodiscard]] std::vector<pid_t> groups_of(const std::vector<pid_t>& pids);

}  // namespace grab::relay
