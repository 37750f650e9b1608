// SPDX-License-Identifier: MIT
// The commands that talk to a relay that is there: attach, list, detach, send, peek, wait, signal.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "cli/options.h"
#include "proc/snapshot.h"
#include "relay/connection.h"
#include "relay/view.h"

namespace grab {

/// A relay answers in microseconds; one that is stopped, never.
inline constexpr int kAnswerLimitMs = 2000;

/// The relay that the user means: by name, by process id, or without either the only one or the
/// newest. `limit_ms`: for each relay that is asked. Errors: kGone, with the names that there are.
struct Found {
  relay::Connection connection;  ///< both sides have said Hello
  relay::message::Status status;
  bool same_user = true;
};
[[nodiscard]] Result<Found> find_relay(const std::string& target, int limit_ms = kAnswerLimitMs);

/// A tree as the relay knows it that shows it.
struct KnownTree {
  relay::message::Status status;
  std::vector<proc::ProcessId> processes;  ///< all that were moved; root is the first
  /// On which they are, or were and may be still, where a move was broken off: what all relays know
  /// that show a part of the tree.
  std::vector<dev_t> terminals;
};
/// The tree that was moved with that process: as its root, or as one of those that were started
/// beside it. (What was started below them is a tree of its own.) Nothing if no relay that answers
/// within `limit_ms` shows such a one. As root only those processes are believed to be of it that
/// are the relay's user's.
[[nodiscard]] std::optional<KnownTree> find_tree_of(pid_t pid, int limit_ms);

/// Every relay that answers, of this user and for root of all; `silent` gets the names of the
/// others.
[[nodiscard]] Result<std::vector<relay::message::Status>> ask_all(std::vector<std::string>* silent);

/// Waits until the tree has ended; that is then told to nobody else.
[[nodiscard]] Result<relay::TreeEnd> await_end(relay::Connection& connection);

/// Shows a tree on this terminal: after a move, a start, or for attach.
[[nodiscard]] Result<relay::ViewEnd> show(relay::Connection connection, relay::Viewer viewer,
                                          const std::string& name, const std::string& process,
                                          const cli::Options& options, bool same_user);

}  // namespace grab
