// SPDX-License-Identifier: MIT
// Starts what outlives the command: the keeper and the relay of a tree, moved or begun anew.
#pragma once

#include <functional>
#include <string>

#include "base/error.h"
#include "cli/options.h"
#include "relay/connection.h"
#include "relay/relay.h"

namespace grab {

/// A tree that is on its new terminal, and the connection to its relay: both sides have said Hello.
/// The relay expects this command to attach, or with --detached to wait for Done.
struct Begun {
  relay::Connection connection;
  relay::message::Status status;  ///< as far as it is known so early: name, pid and process
  bool same_user = true;          ///< the relay runs as the user of this command
};

/// Given each line that is to be said on the way.
using Say = std::function<void(const std::string& line)>;

/// For a process whose tree was moved before: with --force the options name the root of that tree
/// then, and all that the move has parted from it. Errors: kRefused without --force, naming the
/// relay that shows it.
[[nodiscard]] Status follow_earlier_move(cli::Options& options);

/// Moves the tree that the options name. `viewer`: the terminal that it is to be shown on, null
/// with
/// --detached. Errors: those of the move; nothing was changed then.
[[nodiscard]] Result<Begun> begin_move(const cli::Options& options, const relay::Viewer* viewer,
                                       const Say& say);

/// Starts the program that the options name. Errors: kGone when there is none of that name,
/// kPermission when it cannot be executed.
[[nodiscard]] Result<Begun> begin_run(const cli::Options& options, const relay::Viewer* viewer,
                                      const Say& say);

/// With --detached: says what comes until the old shell has been told.
[[nodiscard]] Status await_notices(relay::Connection& connection, const Say& say);

}  // namespace grab
