// SPDX-License-Identifier: MIT
// The keeper holds the ptmx of a tree beside the relay, so that a relay that is killed does not
// take the tree's terminal with it: the keeper starts another on the same ptmx. A relay whose
// keeper is killed starts another keeper. Only who kills both at once hangs the tree up.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>

#include "base/unique_fd.h"
#include "relay/recorder.h"
#include "relay/relay.h"
#include "relay/socket_directory.h"

namespace grab::relay {

/// What a relay is started with.
struct RelaySetup {
  UniqueFd ptmx;
  MovedTree tree;
  TreeInfo info;
  uid_t owner = 0;  ///< whose socket directory it listens in; the relay's own uid, or it is root's
  Recorder::Files files;  ///< of --log and --record
  /// How long a tree that has ended is remembered for somebody to ask; for tests to shorten.
  std::chrono::milliseconds remembers = std::chrono::hours{1};
  bool anew = false;  ///< another relay has shown the tree before
  UniqueFd front;     ///< memory of a Front (base/front.h), if anybody writes it
  UniqueFd shown;     ///< a pipe; each relay that has begun writes a byte to it
  /// Kept open while there is no relay, so that nobody else takes the name, and who connects waits.
  std::optional<SocketDirectory> directory;
  UniqueFd listener;

  UniqueFd left_open;  ///< only to be held: what was put there (tracer/fd_store.h) is open so long

  // Of the first relay alone.
  UniqueFd command;  ///< the connection of the user's command, to which Hello has been said
  bool command_attaches = false;  ///< else it waits for Done, when `notices` has ended
  UniqueFd notices;               ///< a pipe with lines for the viewers
};

/// Makes this process the keeper, in a session of its own, and keeps a relay running until that is
/// done. Nothing but what `setup` holds stays open.
[[noreturn]] void keep(RelaySetup setup);

/// For a relay whose keeper has died: starts another one. What it returns is the new link to it,
/// which ends when it dies. Errors: kSystem; the relay goes on without.
[[nodiscard]] Result<UniqueFd> start_keeper(RelaySetup& setup);

/// Tells the keeper that nothing is to be kept any more.
void dismiss_keeper(int link);

}  // namespace grab::relay
