// SPDX-License-Identifier: MIT
// One who has connected to the relay: a viewer, or somebody who asks.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include <uv.h>

#include "relay/connection.h"
#include "relay/core.h"
#include "relay/lent_terminal.h"
#include "relay/uv_handle.h"

namespace grab::relay {

/// A descriptor that is polled, with the events that libuv was last told.
struct Poll {
  UvHandle<uv_poll_t> handle;
  int events = 0;
};

class Server;

struct Client {
  Client(Server& its_server, UniqueFd socket, pid_t client_pid)
      : server(&its_server), connection(std::move(socket), Side::kViewer), pid(client_pid) {}

  Server* server;
  Connection connection;
  pid_t pid;                ///< 0 where it is of another pid namespace
  bool is_command = false;  ///< of the `grab` that started the relay
  bool leaving = false;     ///< is closed when what is queued has been sent
  bool gone = false;        ///< is to be forgotten
  bool awaits_end = false;
  std::string text;  ///< of SendText, so far

  std::optional<ViewerId> viewer;
  bool read_only = false;
  WindowSize size;
  std::string terminal_name;
  std::optional<LentTerminal> terminal;  ///< none: bytes go over the connection
  bool pausing = false;                  ///< the terminal is given back; nothing is read from it
  bool found_stopped = false;  ///< pausing because of that: it has not given anything back
  bool left_alone = false;     ///< the terminal: paused, and not resumed yet
  std::string input;           ///< of Input, that the core has no room for yet

  Poll poll, terminal_poll;
  UvHandle<uv_timer_t> detach_timer, request_timer;
};

}  // namespace grab::relay
