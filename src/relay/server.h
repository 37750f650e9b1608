// SPDX-License-Identifier: MIT
// The relay process: libuv, the ptmx, a socket and the viewers' terminals around a Core. It decides
// nothing about the bytes and signals that pass; it only carries out what the Core says.
#pragma once

#include <array>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <uv.h>

#include "base/error.h"
#include "base/front.h"
#include "base/unique_fd.h"
#include "relay/client.h"
#include "relay/core.h"
#include "relay/keeper.h"
#include "relay/recorder.h"
#include "relay/socket_directory.h"
#include "relay/tree_watch.h"
#include "relay/uv_handle.h"

namespace grab::relay {

class Server {
 public:
  Server(RelaySetup setup, UniqueFd link, UvLoop loop);
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  Server(Server&&) = delete;
  Server& operator=(Server&&) = delete;
  ~Server() = default;

  /// Blocks until there is nothing left to do for the tree. Call it once. Errors: it could not
  /// begin.
  [[nodiscard]] Status run();

 private:
  using PollCallback = void (Server::*)(int status, int events);
  using ClientCallback = void (Server::*)(Client& client, int status, int events);

  [[nodiscard]] Status start();
  [[nodiscard]] Status start_tree();
  [[nodiscard]] Status start_timer(UvHandle<uv_timer_t>& timer);
  template <PollCallback callback>
  [[nodiscard]] Status watch(Poll& poll, int fd, const char* what);
  template <PollCallback callback>
  static void call(uv_poll_t* handle, int status, int events);
  template <ClientCallback callback>
  [[nodiscard]] Status watch(Poll& poll, Client& client, int fd, const char* what);
  template <ClientCallback callback>
  static void call_client(uv_poll_t* handle, int status, int events);
  static void set_events(Poll& poll, int events, uv_poll_cb callback);

  // --- server.cc: the tree ---
  void on_ptmx(int status, int events);
  void on_notices(int status, int events);
  void on_link(int status, int events);
  void read_output();
  void carry_out_actions();
  void pump();
  void update_events();
  void update_events(Client& client);
  [[nodiscard]] PtsState pts_state();
  void keep_from_background_readers() const;
  void record(std::string_view output);
  void begin_output();
  void tree_has_ended();
  void finish_if_done();

  void perform(const action::WriteViewer& write);
  void perform(const action::WritePtmx& write);
  void perform(const action::SignalGroup& signal);
  void perform(const action::SignalFront& signal);
  void perform(const action::SetWindowSize& size);
  void perform(const action::AwaitRedraw& redraw);
  void perform(const action::SuspendViewer& suspend);
  void perform(const action::ViewerPaused& paused);
  void perform(const action::DetachViewer& detach);
  void perform(const action::EndViewer& end);
  void perform(const action::Ended& ended);
  void perform(const action::AwaitDetach& await);
  void perform(const action::AwaitSlow& await);
  void find_writable();

  // --- server_clients.cc: who connects ---
  [[nodiscard]] bool is_listening() const;
  [[nodiscard]] Status listen();
  [[nodiscard]] Status watch_listener();
  void on_listener(int status, int events);
  void on_user_signal();
  [[nodiscard]] Status expect_request(Client& client);
  [[nodiscard]] Status add_client(UniqueFd socket, bool is_command);
  void on_client(Client& client, int status, int events);
  void on_terminal(Client& client, int status, int events);
  void read_messages(Client& client);
  void flush(Client& client);
  void read_terminal(Client& client);
  void pass_input(Client& client);
  void leave_alone(Client& client);
  void send(Client& client, const Message& message);
  void leave(Client& client, const Message& last);
  void viewer_has_gone(Client& client);
  void sweep();
  void send_end(Client& client);
  void notice(const std::string& line);
  void show_held_notices();
  [[nodiscard]] Client* client_of(ViewerId viewer);
  [[nodiscard]] message::Status status() const;

  void handle(Client& client, message::Attach& attach);
  [[nodiscard]] Status lend(Client& client, const message::Attach& attach);
  void handle(Client& client, message::Input& input);
  void handle(Client& client, message::Resize& resize);
  void handle(Client& client, message::Pause& pause);
  void handle(Client& client, message::Resume& resume);
  void handle(Client& client, message::AskStatus& ask);
  void handle(Client& client, message::SendText& text);
  void handle(Client& client, message::Peek& peek);
  void handle(Client& client, message::AwaitEnd& await);
  void handle(Client& client, message::SignalTree& signal);
  void handle(Client& client, message::DetachViewers& detach);
  void handle(Client& client, message::AskTree& ask);
  template <class Other>
  void handle(Client& client, Other& other);

  RelaySetup setup_;
  UniqueFd link_;
  TreeWatch tree_;
  std::optional<Front> front_;
  Core core_;
  Recorder recorder_;
  std::list<Client> clients_;
  PtsState modes_;  // of the pts, as they were then
  std::uint64_t modes_seen_ms_ = 0;
  UniqueFd spare_;  // given up for a moment where there is no descriptor left to accept with

  std::string notice_;                     // a line that has not ended yet
  std::vector<std::string> held_notices_;  // until the command has attached
  bool notices_ended_ = false;

  bool output_begun_ = false;  // not before the command has attached, so that it misses nothing

  std::optional<TreeEnd> end_;
  bool told_ = false;  // somebody how it ended
  bool done_ = false;

  // The handles go before the loop, and both before the descriptors.
  UvLoop loop_;
  Poll ptmx_poll_, notices_poll_, link_poll_, listener_poll_;
  UvHandle<uv_timer_t> redraw_timer_, slow_timer_, greeting_timer_, farewell_timer_;
  UvHandle<uv_signal_t> user_signal_;
};

/// Relays until the tree has ended and somebody has been told how, or an hour has passed since; or
/// until it was moved to another terminal.
/// `link`: to the keeper, which is dismissed then. Errors: it could not begin; the keeper is to try
/// again.
[[nodiscard]] Status serve(RelaySetup setup, UniqueFd link);

}  // namespace grab::relay
