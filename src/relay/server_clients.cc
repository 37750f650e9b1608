// SPDX-License-Identifier: MIT
// Who connects to the relay, and what is said.
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>
#include <variant>

#include "base/terminal_write.h"
#include "relay/connection.h"
#include "relay/pts.h"
#include "relay/server.h"

namespace grab::relay {
namespace {

// A tree's typed bytes are bounded; so is what waits to be typed.
constexpr std::size_t kMaxText = std::size_t{1024} * 1024;

UniqueFd open_spare() {
  return UniqueFd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
}

std::string_view reason_text(DetachReason reason) {
  switch (reason) {
    case DetachReason::kAsked:
      return "by grab detach";
    case DetachReason::kOtherViewer:
      return "by another viewer";
    case DetachReason::kKey:
      break;
  }
  return "";
}

}  // namespace

// ---------------------------------------------------------------- connections

template <Server::ClientCallback callback>
void Server::call_client(uv_poll_t* handle, int status, int events) {
  auto* client = static_cast<Client*>(handle->data);
  (client->server->*callback)(*client, status, events);
}

template <Server::ClientCallback callback>
Status Server::watch(Poll& poll, Client& client, int fd, const char* what) {
  poll.events = 0;
  GRAB_TRY(poll.handle, UvHandle<uv_poll_t>::open(what, &client, loop_.get(), uv_poll_init, fd));
  return {};
}

bool Server::is_listening() const {
  return setup_.directory && setup_.listener.valid() &&
         setup_.directory->is_there(setup_.info.name);
}

Status Server::listen() {
  if (!setup_.directory) {
    GRAB_TRY(setup_.directory, SocketDirectory::open(setup_.owner, SocketDirectory::Make::kYes));
  }
  listener_poll_.handle.reset();
  setup_.listener.reset();
  GRAB_TRY(setup_.listener, setup_.directory->listen(setup_.info.name));
  return watch_listener();
}

Status Server::watch_listener() {
  GRAB_TRY(listener_poll_.handle,
           UvHandle<uv_poll_t>::open("watching the socket", this, loop_.get(), uv_poll_init,
                                     setup_.listener.get()));
  return uv_status(uv_poll_start(listener_poll_.handle.get(), UV_READABLE,
                                 [](uv_poll_t* handle, int status, int events) {
                                   static_cast<Server*>(handle->data)->on_listener(status, events);
                                 }),
                   "uv_poll_start");
}

// SIGUSR1: somebody has deleted the socket.
void Server::on_user_signal() {
  if (is_listening())
    return;
  if (const Status listening = listen(); !listening)
    notice("nobody can attach to " + setup_.info.name + ": " + listening.error().message());
  pump();
}

// Kernel: a connection that cannot be accepted for want of a descriptor stays in the queue, and
// keeps the listener readable for ever. Source: accept(2) EMFILE.
void Server::on_listener(int /*status*/, int /*events*/) {
  UniqueFd socket(::accept4(setup_.listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!socket.valid() && (errno == EMFILE || errno == ENFILE)) {
    spare_.reset();
    socket.reset(::accept4(setup_.listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    socket.reset();
  }
  if (!spare_.valid())
    spare_ = open_spare();
  if (!socket.valid() || !check_peer(socket.get(), setup_.owner) ||
      clients_.size() >= kMaxConnections)
    return;
  (void)add_client(std::move(socket), false);
  pump();
}

Status Server::add_client(UniqueFd socket, bool is_command) {
  const Result<Peer> peer = peer_of(socket.get());
  Client& client = clients_.emplace_back(*this, std::move(socket), peer ? peer->pid : 0);
  client.is_command = is_command;
  Status watched =
      watch<&Server::on_client>(client.poll, client, client.connection.fd(), "watching a client");
  if (watched && !is_command) {
    send(client, message::Hello{kProtocolVersion, "grab " GRAB_VERSION});
    watched = expect_request(client);
  }
  if (!watched)
    client.gone = true;
  return watched;
}

// Who connects and asks for nothing is not kept.
Status Server::expect_request(Client& client) {
  GRAB_TRY(client.request_timer,
           UvHandle<uv_timer_t>::open("uv_timer_init", &client, loop_.get(), uv_timer_init));
  return uv_status(uv_timer_start(
                       client.request_timer.get(),
                       [](uv_timer_t* handle) {
                         auto* silent = static_cast<Client*>(handle->data);
                         silent->gone = true;
                         silent->server->pump();
                       },
                       kGreetPatienceMs, 0),
                   "uv_timer_start");
}

void Server::update_events(Client& client) {
  const bool reads = !client.leaving && client.input.empty();
  set_events(
      client.poll,
      (reads ? UV_READABLE : UV_DISCONNECT) | (client.connection.wants_write() ? UV_WRITABLE : 0),
      call_client<&Server::on_client>);
  if (!client.terminal || !client.viewer)
    return;
  const bool in = !client.left_alone && !client.pausing && core_.wants_input(*client.viewer);
  const bool out = !client.left_alone && core_.viewer_is_blocked(*client.viewer);
  set_events(client.terminal_poll, (in ? UV_READABLE : 0) | (out ? UV_WRITABLE : 0),
             call_client<&Server::on_terminal>);
}

void Server::send(Client& client, const Message& message) {
  if (!client.gone && !client.connection.send(message))
    client.gone = true;
}

void Server::leave(Client& client, const Message& last) {
  send(client, last);
  client.leaving = true;
}

// Nothing is removed while it may be in use: that is done here, at the end of a turn.
void Server::sweep() {
  for (auto client = clients_.begin(); client != clients_.end();) {
    if (client->leaving && !client->connection.wants_write())
      client->gone = true;
    if (client->gone && client->viewer)
      viewer_has_gone(*client);
    if (client->gone && client->is_command)
      begin_output();
    client = client->gone ? clients_.erase(client) : std::next(client);
  }
}

// Its process has died, or its terminal has: whatever of the terminal is left is made as it was.
void Server::viewer_has_gone(Client& client) {
  const std::string parting = core_.parting(*client.viewer);
  core_.viewer_gone(*client.viewer);
  client.viewer.reset();
  client.detach_timer.reset();
  client.terminal_poll.handle.reset();
  if (!client.terminal)
    return;
  // A shell that was quicker to set its own modes has still found the tree's screen.
  if (!client.left_alone) {
    // A terminal that does not take it can be helped no further.
    (void)write_what_fits(client.terminal->fd(), parting);
    client.terminal->restore_modes();
  }
  client.terminal.reset();
}

void Server::on_client(Client& client, int status, int events) {
  if (status < 0 || (events & UV_DISCONNECT) != 0)
    client.gone = true;
  if (!client.gone && (events & UV_WRITABLE) != 0)
    flush(client);
  if (!client.gone && (events & UV_READABLE) != 0)
    read_messages(client);
  pump();
}

void Server::flush(Client& client) {
  if (!client.connection.flush())
    client.gone = true;
  else if (client.viewer && !client.terminal && !client.connection.wants_write())
    core_.viewer_writable(*client.viewer);
}

void Server::read_messages(Client& client) {
  if (!client.connection.receive()) {
    client.gone = true;
    return;
  }
  while (!client.gone && !client.leaving && client.input.empty()) {
    Result<std::optional<Message>> message = client.connection.next();
    if (!message) {
      leave(client, to_failed(message.error()));
      return;
    }
    if (!*message)
      break;
    if (!std::holds_alternative<message::Hello>(**message))
      client.request_timer.reset();
    std::visit([&](auto& what) { handle(client, what); }, **message);
  }
  if (client.connection.at_end())
    client.gone = true;
}

// ---------------------------------------------------------------- terminals

void Server::on_terminal(Client& client, int status, int events) {
  if (client.viewer && !client.left_alone) {
    if ((events & UV_WRITABLE) != 0 || status < 0)
      core_.viewer_writable(*client.viewer);
    if ((events & UV_READABLE) != 0 || status < 0)
      read_terminal(client);
  }
  pump();
}

void Server::leave_alone(Client& client) {
  client.pausing = client.found_stopped = true;
  core_.pause(*client.viewer);
}

// Kernel: a terminal that was hung up gives end of file, or EIO. Source: tty_ioctl(2).
void Server::read_terminal(Client& client) {
  if (client.pausing || !core_.wants_input(*client.viewer))
    return;
  if (!client.terminal->is_lent())
    return leave_alone(client);
  if (client.terminal->reads_only_up_to_key()) {
    if (client.terminal->readable() > 1)  // another key came before it
      return core_.detach_deadline(*client.viewer);
    client.terminal->read_all();
  }
  const std::span<char> space = core_.input_space(*client.viewer);
  const ssize_t n = ::read(client.terminal->fd(), space.data(), space.size());
  if (n > 0) {
    core_.typed(*client.viewer, static_cast<std::size_t>(n));
  } else if (n == 0 || !would_block(errno)) {
    client.left_alone = true;
    viewer_has_gone(client);
    leave(client, message::Detached{"as its terminal has gone", {}});
  }
}

void Server::pass_input(Client& client) {
  while (!client.input.empty() && core_.wants_input(*client.viewer)) {
    const std::span<char> space = core_.input_space(*client.viewer);
    const std::size_t n = std::min(space.size(), client.input.size());
    std::copy_n(client.input.data(), n, space.data());
    client.input.erase(0, n);
    core_.typed(*client.viewer, n);
  }
}

Client* Server::client_of(ViewerId viewer) {
  for (Client& client : clients_) {
    if (client.viewer == viewer && !client.gone)
      return &client;
  }
  return nullptr;
}

void Server::perform(const action::WriteViewer& write) {
  Client* client = client_of(write.viewer);
  if (client == nullptr)
    return core_.viewer_blocked(write.viewer);
  if (!client->terminal) {
    const Result<std::size_t> sent = client->connection.send_output(write.bytes);
    if (!sent)
      client->gone = true;
    if (sent && *sent > 0)
      core_.viewer_took(write.viewer, *sent);
    else
      core_.viewer_blocked(write.viewer);
    return;
  }
  if (client->left_alone)
    return core_.viewer_blocked(write.viewer);
  // While it pauses, what is written are the screen's modes, undone for who has the terminal now.
  if (!client->pausing && !client->terminal->is_lent())
    return leave_alone(*client);
  const ssize_t n = ::write(client->terminal->fd(), write.bytes.data(), write.bytes.size());
  if (n > 0) {
    core_.viewer_took(write.viewer, static_cast<std::size_t>(n));
  } else if (n == 0 || would_block(errno)) {
    core_.viewer_blocked(write.viewer);
  } else {
    client->left_alone = true;
    viewer_has_gone(*client);
    leave(*client, message::Detached{"as its terminal has gone", {}});
  }
}

void Server::perform(const action::SuspendViewer& suspend) {
  if (Client* client = client_of(suspend.viewer)) {
    client->left_alone = true;
    send(*client, message::Suspended{});
  }
}

void Server::perform(const action::ViewerPaused& paused) {
  if (Client* client = client_of(paused.viewer)) {
    client->pausing = false;
    client->left_alone = true;
    if (client->found_stopped && client->terminal)
      client->terminal->restore_modes();
    send(*client, message::Paused{});
  }
}

void Server::perform(const action::DetachViewer& detach) {
  if (Client* client = client_of(detach.viewer)) {
    const message::Detached last{std::string(reason_text(detach.reason)),
                                 core_.typed_behind(detach.viewer)};
    core_.viewer_gone(detach.viewer);
    client->viewer.reset();
    client->terminal_poll.handle.reset();
    client->terminal.reset();
    leave(*client, last);
  }
}

void Server::perform(const action::EndViewer& end) {
  if (Client* client = client_of(end.viewer)) {
    core_.viewer_gone(end.viewer);
    client->viewer.reset();
    client->terminal_poll.handle.reset();
    client->terminal.reset();
    send_end(*client);
  }
}

void Server::send_end(Client& client) {
  const TreeEnd end = end_ ? *end_ : tree_.end();
  told_ = true;
  leave(client, message::Ended{end.wait_status, end.moved_away});
}

void Server::perform(const action::AwaitDetach& await) {
  Client* client = client_of(await.viewer);
  if (client == nullptr)
    return;
  if (await.second_press && client->terminal)
    (void)client->terminal->read_only_up_to(*await.second_press);
  if (!client->detach_timer.valid()) {
    auto timer = UvHandle<uv_timer_t>::open("uv_timer_init", client, loop_.get(), uv_timer_init);
    if (!timer)
      return core_.detach_deadline(await.viewer);
    client->detach_timer = std::move(*timer);
  }
  (void)uv_timer_start(
      client->detach_timer.get(),
      [](uv_timer_t* handle) {
        auto* waiting = static_cast<Client*>(handle->data);
        if (waiting->viewer)
          waiting->server->core_.detach_deadline(*waiting->viewer);
        waiting->server->pump();
      },
      static_cast<std::uint64_t>(Core::kDetachPatience.count()), 0);
}

// ---------------------------------------------------------------- notices

void Server::on_notices(int status, int /*events*/) {
  std::array<char, 4096> part{};
  const ssize_t n = status < 0 ? 0 : ::read(setup_.notices.get(), part.data(), part.size());
  if (n < 0 && would_block(errno))
    return;
  if (n > 0)
    notice_.append(part.data(), static_cast<std::size_t>(n));
  else if (!notice_.empty())
    notice_ += '\n';
  std::size_t end = 0;
  while ((end = notice_.find('\n')) != std::string::npos) {
    notice(notice_.substr(0, end));
    notice_.erase(0, end + 1);
  }
  if (n <= 0) {
    notices_poll_.handle.reset();
    notices_ended_ = true;
    show_held_notices();
  }
  pump();
}

void Server::notice(const std::string& line) {
  held_notices_.push_back(line);
  show_held_notices();
}

// The command shows them on its terminal once that is attached, or prints them if it will not be;
// if it has gone, whoever is there sees them.
void Server::show_held_notices() {
  const auto command = std::find_if(clients_.begin(), clients_.end(), [](const Client& client) {
    return client.is_command && !client.gone && !client.leaving;
  });
  if (command != clients_.end() && !command->viewer && setup_.command_attaches)
    return;
  for (const std::string& line : std::exchange(held_notices_, {})) {
    if (command != clients_.end() && !command->viewer)
      send(*command, message::Notice{line});
    else
      core_.notice(line);
  }
  if (notices_ended_ && command != clients_.end() && !command->viewer)
    leave(*command, message::Done{});
}

// ---------------------------------------------------------------- messages

void Server::handle(Client& client, message::Attach& attach) {
  if (client.viewer)
    return leave(client, to_failed({ErrorKind::kSystem, 0, "this viewer is attached already", ""}));
  if (core_.ended())
    return send_end(client);
  if (const Status lent = lend(client, attach); !lent)
    return leave(client, to_failed(lent.error()));
  if (attach.detach_others) {
    for (const Client& other : clients_) {
      if (other.viewer)
        core_.detach(*other.viewer, DetachReason::kOtherViewer);
    }
  }
  client.read_only = attach.read_only;
  client.terminal_name = attach.terminal;
  client.size = attach.size;
  client.viewer = core_.add_viewer({.size = attach.size,
                                    .read_only = attach.read_only,
                                    .detach_key = attach.detach_key,
                                    .up_to_date = !output_begun_});
  begin_output();
  show_held_notices();
}

Status Server::lend(Client& client, const message::Attach& attach) {
  const auto nested = [&] {
    return fail(ErrorKind::kRefused, "this terminal is the one that " + setup_.info.name + " is on",
                "attach from another one");
  };
  if (!attach.by_descriptor)
    return attach.terminal == pts_name(setup_.ptmx.get()) ? Status(nested()) : Status();
  GRAB_TRY(client.terminal,
           LentTerminal::take(client.connection.take_descriptor(), client.pid, attach.saved_modes));
  if (client.terminal->is_pts_of(setup_.ptmx.get()))
    return nested();
  return watch<&Server::on_terminal>(client.terminal_poll, client, client.terminal->fd(),
                                     "watching a viewer's terminal");
}

void Server::handle(Client& client, message::Input& input) {
  if (!client.viewer)
    return;
  client.input = std::move(input.bytes);
  pass_input(client);
}

void Server::handle(Client& client, message::Resize& resize) {
  client.size = resize.size;
  if (client.viewer)
    core_.resized(*client.viewer, resize.size);
}

void Server::handle(Client& client, message::Pause& /*pause*/) {
  if (!client.viewer)
    return send(client, message::Paused{});
  client.pausing = true;
  core_.pause(*client.viewer);
}

void Server::handle(Client& client, message::Resume& resume) {
  if (!client.viewer)
    return;
  client.pausing = client.left_alone = client.found_stopped = false;
  client.size = resume.size;
  if (client.terminal)
    client.terminal->lent_again();
  core_.viewer_writable(*client.viewer);
  core_.viewer_resumed(*client.viewer, resume.size, tree_.redraw_pgids());
}

void Server::handle(Client& client, message::AskStatus& /*ask*/) {
  send(client, status());
}

void Server::handle(Client& client, message::SendText& text) {
  client.text += text.text;
  if (client.text.size() > kMaxText)
    return leave(client, to_failed({ErrorKind::kRefused, 0, "the text is too long",
                                    "send less than a mebibyte at a time"}));
  if (text.more)
    return;
  const std::string whole = std::exchange(client.text, {});
  if (core_.ended())
    return leave(client, to_failed({ErrorKind::kGone, 0, setup_.tree.name + " has ended", ""}));
  const std::size_t taken = core_.type(whole);
  if (taken == whole.size())
    return send(client, message::Done{});
  send(client, to_failed({ErrorKind::kRefused, 0,
                          "only " + std::to_string(taken) + " of " + std::to_string(whole.size()) +
                              " bytes were taken: " + setup_.tree.name + " does not read them",
                          "send the rest when it does"}));
}

void Server::handle(Client& client, message::Peek& /*peek*/) {
  send(client, message::ScreenText{false, core_.screen_text()});
}

void Server::handle(Client& client, message::AwaitEnd& /*await*/) {
  client.awaits_end = true;
  if (end_)
    send_end(client);
}

void Server::handle(Client& client, message::SignalTree& signal) {
  if (core_.ended())
    return send(client, to_failed({ErrorKind::kGone, 0, setup_.tree.name + " has ended", ""}));
  // Root first: a shell that sees its jobs stop before it is stopped itself goes on, and may end.
  core_.signal_tree(signal.signo);
  carry_out_actions();
  std::vector<pid_t> signalled = setup_.tree.follower_pgids;
  signalled.push_back(setup_.tree.job_pgid);
  tree_.signal_others(signalled, signal.signo);
  send(client, message::Done{});
}

void Server::handle(Client& client, message::DetachViewers& /*detach*/) {
  for (const Client& other : clients_) {
    if (other.viewer)
      core_.detach(*other.viewer, DetachReason::kAsked);
  }
  send(client, message::Done{});
}

void Server::handle(Client& client, message::AskTree& /*ask*/) {
  const MovedTree& tree = setup_.tree;
  const pid_t root = tree.kernel_signals_job ? tree.job_pgid : setup_.info.pid;
  std::string first;
  std::string others;
  for (const ProcessRef& process : tree.processes)
    (process.pid == root ? first : others) +=
        std::to_string(process.pid) + " " + std::to_string(process.start_time) + "\n";
  std::string terminals = "terminal " + std::to_string(pts_number(setup_.ptmx.get())) + "\n";
  for (const dev_t terminal : tree.terminals)
    terminals += "terminal " + std::to_string(terminal) + "\n";
  send(client, message::TreeText{false, first + others + terminals});
}

// The decoder lets only a viewer's messages through; Hello is all that is left.
template <class Other>
void Server::handle(Client& /*client*/, Other& /*other*/) {}

message::Status Server::status() const {
  message::Status status;
  status.name = setup_.info.name;
  status.pid = setup_.info.pid;
  status.process = setup_.tree.name;
  status.command = setup_.info.command;
  status.since = setup_.info.since / 1'000'000;
  status.size = core_.size();
  if (end_) {
    status.state = message::Status::State::kEnded;
    status.wait_status = end_->wait_status;
  } else if (core_.stopped()) {
    status.state = message::Status::State::kStopped;
  }
  for (const Client& client : clients_) {
    if (client.viewer)
      status.viewers.push_back({client.pid, client.terminal_name, client.read_only, client.size});
  }
  return status;
}

}  // namespace grab::relay
