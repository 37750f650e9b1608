// SPDX-License-Identifier: MIT
// The viewer process: lends the user's terminal to a relay, takes part in the job control of the
// user's shell, and gives the terminal back in the end. Where the relay is the same user's it reads
// and writes the terminal itself; else the bytes go through here.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <variant>

#include "base/error.h"
#include "relay/connection.h"
#include "relay/relay.h"

namespace grab::relay {

struct ViewOptions {
  bool read_only = false;
  bool detach_others = false;
  std::optional<unsigned char> detach_key;  ///< a control character
  bool lend_terminal = true;  ///< the relay is the same user's: it gets the descriptor
  std::string stopped_line;   ///< to say when ^Z has stopped the tree; printable
};

namespace view_end {
/// Somebody has detached the viewer; empty: its own key.
struct Detached {
  std::string why;
  bool keys_lost = false;  ///< what was typed behind the key could not be given back
};
/// A signal ended the viewer; the tree goes on.
struct Signalled {
  int signo = 0;
};
}  // namespace view_end
using ViewEnd = std::variant<TreeEnd, view_end::Detached, view_end::Signalled>;

/// Opens a connection to another relay of the same tree when the one that served us has been
/// killed.
using Reconnect = std::function<Result<Connection>()>;

/// Shows the tree behind `connection`, on which both sides have said Hello, until it has ended or
/// the viewer is detached. The terminal's modes are as before then. Errors: the terminal or the
/// relay cannot be used; the relay's refusal.
[[nodiscard]] Result<ViewEnd> view(Connection connection, Viewer viewer, const ViewOptions& options,
                                   const Reconnect& reconnect);

}  // namespace grab::relay
