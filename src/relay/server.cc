// SPDX-License-Identifier: MIT
#include "relay/server.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <utility>
#include <variant>

#include "relay/connection.h"
#include "relay/pts.h"
#include "relay/viewer_terminal.h"

namespace grab::relay {
namespace {

// What is read and shown before others get their turn: what is typed must not wait for more.
constexpr std::size_t kReadBatch = std::size_t{32} * 1024;
// Kernel: a pts buffers 4096 bytes, of which one read gets 4095, and more only where more comes
// while it copies. Less means that there is no more just now, and epoll tells when there is.
// Source: n_tty.c N_TTY_BUF_SIZE; seen.
constexpr std::size_t kFullRead = 4095;
// A program that has not drawn its screen after this long will not, or is in no hurry. The sizes
// are never changed back sooner than the program has seen them, or this has passed.
constexpr std::uint64_t kRedrawDeadlineMs = 300;
// How long the tree may have to wait for the command that moved it; it needs milliseconds.
constexpr std::uint64_t kGreetingMs = 2000;
// Nobody can type a key in the knowledge of what a program has set since.
constexpr std::uint64_t kModesKeepMs = 2;

std::uint64_t now_us() {
  using namespace std::chrono;
  return static_cast<std::uint64_t>(
      duration_cast<microseconds>(steady_clock::now().time_since_epoch()).count());
}

UniqueFd copy_of(const UniqueFd& fd) {
  return UniqueFd(fd.valid() ? ::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0) : -1);
}

// The originals stay with the setup, for the next keeper.
Recorder::Files copy_of(const Recorder::Files& files) {
  return {copy_of(files.log), files.log_path, copy_of(files.record), files.record_path,
          files.started_us};
}

Job job_of(const MovedTree& tree) {
  return {tree.job_pgid, tree.kernel_signals_job, tree.follower_pgids, tree.name};
}

}  // namespace

Server::Server(RelaySetup setup, UniqueFd link, UvLoop loop)
    : setup_(std::move(setup)),
      link_(std::move(link)),
      tree_(setup_.tree, setup_.ptmx.get()),
      core_(job_of(setup_.tree), window_size(setup_.ptmx.get())),
      recorder_(copy_of(setup_.files)),
      loop_(std::move(loop)) {}

// ---------------------------------------------------------------- start and end

Status Server::run() {
  GRAB_CHECK(start());
  pump();
  if (!done_)
    (void)uv_run(loop_.get(), UV_RUN_DEFAULT);
  dismiss_keeper(link_.get());
  if (setup_.directory)
    setup_.directory->remove(setup_.info.name);
  return {};
}

Status Server::start() {
  for (UvHandle<uv_timer_t>* timer :
       {&redraw_timer_, &slow_timer_, &greeting_timer_, &farewell_timer_})
    GRAB_CHECK(start_timer(*timer));
  GRAB_TRY(user_signal_,
           UvHandle<uv_signal_t>::open("uv_signal_init", this, loop_.get(), uv_signal_init));
  GRAB_CHECK(uv_status(uv_signal_start(
                           user_signal_.get(),
                           [](uv_signal_t* handle, int /*signo*/) {
                             static_cast<Server*>(handle->data)->on_user_signal();
                           },
                           SIGUSR1),
                       "uv_signal_start"));
  GRAB_CHECK(tree_.start(loop_.get(), [this] { pump(); }));
  // Without it a tree is shown all the same.
  if (Result<Front> front = Front::open(setup_.front.get()))
    front_ = std::move(*front);
  GRAB_CHECK(watch<&Server::on_ptmx>(ptmx_poll_, setup_.ptmx.get(), "the ptmx"));
  GRAB_CHECK(watch<&Server::on_link>(link_poll_, link_.get(), "the keeper"));
  notices_ended_ = !setup_.notices.valid();
  if (!notices_ended_)
    GRAB_CHECK(watch<&Server::on_notices>(notices_poll_, setup_.notices.get(), "notices"));
  set_events(notices_poll_, UV_READABLE, call<&Server::on_notices>);
  set_events(link_poll_, UV_READABLE, call<&Server::on_link>);
  if (setup_.command.valid())
    GRAB_CHECK(add_client(std::move(setup_.command), true));
  show_held_notices();
  // Without a socket the tree is still shown by those who are there; SIGUSR1 tries again.
  if (const Status listening = is_listening() ? watch_listener() : listen(); !listening)
    notice("nobody can attach to " + setup_.info.name + ": " + listening.error().message());
  if (clients_.empty() || !setup_.command_attaches)
    begin_output();
  else
    (void)uv_timer_start(
        greeting_timer_.get(),
        [](uv_timer_t* handle) {
          auto* server = static_cast<Server*>(handle->data);
          server->begin_output();
          server->pump();
        },
        kGreetingMs, 0);
  // From here on this process or its keeper starts the other again; the tracer need not.
  if (setup_.shown.valid() && ::write(setup_.shown.get(), "", 1) < 0)
    errno = 0;  // the tracer has ended: it has been told by a relay before
  setup_.shown.reset();
  return {};
}

void Server::begin_output() {
  if (std::exchange(output_begun_, true))
    return;
  (void)uv_timer_stop(greeting_timer_.get());
  if (!setup_.tree.redraw_pids.empty())
    core_.redraw(tree_.redraw_pgids());
}

Status Server::start_timer(UvHandle<uv_timer_t>& timer) {
  GRAB_TRY(timer, UvHandle<uv_timer_t>::open("uv_timer_init", this, loop_.get(), uv_timer_init));
  return {};
}

void Server::on_link(int /*status*/, int /*events*/) {
  link_poll_.handle.reset();
  Result<UniqueFd> link = start_keeper(setup_);
  if (!link)
    return;  // no worse than no keeper
  link_ = std::move(*link);
  if (watch<&Server::on_link>(link_poll_, link_.get(), "the keeper"))
    set_events(link_poll_, UV_READABLE, call<&Server::on_link>);
}

// ---------------------------------------------------------------- polling

template <Server::PollCallback callback>
void Server::call(uv_poll_t* handle, int status, int events) {
  (static_cast<Server*>(handle->data)->*callback)(status, events);
}

template <Server::PollCallback callback>
Status Server::watch(Poll& poll, int fd, const char* what) {
  poll.events = 0;
  GRAB_TRY(poll.handle, UvHandle<uv_poll_t>::open(std::string("watching ") + what, this,
                                                  loop_.get(), uv_poll_init, fd));
  return {};
}

// Kernel: epoll reports a hang-up also where nothing was asked for. libuv stops watching when there
// is nothing to ask, so that a terminal that has gone cannot keep us awake while we are paused.
void Server::set_events(Poll& poll, int events, uv_poll_cb callback) {
  if (events == poll.events || !poll.handle.valid())
    return;
  poll.events = events;
  if (events == 0)
    (void)uv_poll_stop(poll.handle.get());
  else
    (void)uv_poll_start(poll.handle.get(), events, callback);
}

void Server::update_events() {
  const int output = output_begun_ && core_.wants_output() ? UV_READABLE : 0;
  const int input = core_.ptmx_is_blocked() ? UV_WRITABLE : 0;
  set_events(ptmx_poll_, output | input, call<&Server::on_ptmx>);
  for (Client& client : clients_)
    update_events(client);
}

void Server::carry_out_actions() {
  while (!done_) {
    const PtsState pts = core_.needs_pts_state() ? pts_state() : PtsState{};
    const std::optional<Action> action = core_.next(pts);
    if (!action)
      break;
    std::visit([this](const auto& what) { perform(what); }, *action);
  }
}

void Server::pump() {
  carry_out_actions();
  sweep();
  update_events();
  finish_if_done();
}

PtsState Server::pts_state() {
  const std::uint64_t now = uv_now(loop_.get());
  if (core_.has_control_input() || now - modes_seen_ms_ >= kModesKeepMs) {
    modes_ = read_pts_modes(setup_.ptmx.get());
    modes_seen_ms_ = now;
  }
  PtsState state = modes_;
  if (!core_.needs_job_state(state))
    return state;
  state.foreground_pgid = foreground_pgid(setup_.ptmx.get());
  auto signals = read_signals(setup_.tree.job_pgid);
  if (!signals)
    signals = read_signals(setup_.tree.status_pid);
  state.job_ignores_sigtstp = signals && ProcSignals::has(signals->ignored, SIGTSTP);
  if (const pid_t front = front_ ? front_->believed() : 0; front != state.foreground_pgid)
    state.front_pgid = front;
  return state;
}

// ---------------------------------------------------------------- the ptmx

void Server::on_ptmx(int status, int events) {
  if ((events & UV_WRITABLE) != 0 || status < 0)
    core_.ptmx_writable();
  if ((events & UV_READABLE) != 0 || status < 0)
    read_output();
  if (core_.awaits_redraw() && tree_.redraw_was_seen())
    core_.redraw_consumed();
  pump();
}

// Kernel: the ptmx gives EIO when no process has the pts open, after all that was written has been
// read, until one opens it again. Source: pty(7), n_tty_read(); seen.
// Kernel: a read that finds nothing first waits for the kernel thread that brings what is on its
// way, which costs two context switches. What has been read is shown meanwhile, not afterwards.
// Source: n_tty_read(), tty_buffer_flush_work(); seen with perf(1).
void Server::read_output() {
  std::size_t total = 0;
  bool tree_ended = false;
  while (core_.wants_output() && total < kReadBatch) {
    const std::span<char> space = core_.output_space();
    const ssize_t n = ::read(setup_.ptmx.get(), space.data(), space.size());
    if (n > 0) {
      const auto size = static_cast<std::size_t>(n);
      if (recorder_.active())
        record({space.data(), size});
      core_.output_arrived(size);
      carry_out_actions();
      total += size;
      if (size < std::min(kFullRead, space.size())) {
        core_.output_idle();
        return;
      }
    } else if (n < 0 && would_block(errno)) {
      core_.output_idle();
      return;
    } else {
      if (tree_ended)
        return tree_has_ended();
      if (!tree_.has_ended_with_hangup())
        return;
      tree_ended = true;  // between that read and its end it may have written: once more
    }
  }
}

void Server::record(std::string_view output) {
  recorder_.output(output, now_us());
  if (const auto complaint = recorder_.take_complaint())
    notice(*complaint);
}

void Server::tree_has_ended() {
  ptmx_poll_.handle.reset();
  core_.output_ended();
}

// What the kernel would stop for reading is not to get what is typed to the shell.
void Server::keep_from_background_readers() const {
  if (!front_ || !front_->is_vouched_for())
    return;
  std::vector<pid_t> front{front_->believed()};
  if (front.back() == 0) {
    front = setup_.tree.follower_pgids;
    front.insert(front.end(), {setup_.tree.job_pgid, foreground_pgid(setup_.ptmx.get())});
  }
  tree_.stop_background_readers(front);
}

void Server::perform(const action::WritePtmx& write) {
  keep_from_background_readers();
  const ssize_t n = ::write(setup_.ptmx.get(), write.bytes.data(), write.bytes.size());
  if (n > 0)
    core_.ptmx_took(static_cast<std::size_t>(n));
  else if (n == 0 || would_block(errno))
    core_.ptmx_blocked();
  else
    core_.discard_input();  // EIO: no process has the pts open, and none that we know of will
}

void Server::perform(const action::SetWindowSize& size) {
  set_window_size(setup_.ptmx.get(), size.size);
  if (recorder_.active())
    recorder_.resized(size.size, now_us());
}

void Server::perform(const action::SignalGroup& signal) {
  const bool typed = signal.signo == SIGINT || signal.signo == SIGQUIT;
  if (typed) {
    if (const Result<UniqueFd> pts = open_pts(setup_.ptmx.get()))
      settle_input(pts->get());
  }
  tree_.signal_group(signal.pgid, signal.signo);
}

void Server::perform(const action::SignalFront& signal) {
  if (signal.signo != SIGWINCH)
    discard_typed(setup_.ptmx.get());
  tree_.signal_front(signal.pgid, signal.signo);
}

void Server::perform(const action::AwaitRedraw& /*redraw*/) {
  (void)uv_timer_start(
      redraw_timer_.get(),
      [](uv_timer_t* handle) {
        auto* server = static_cast<Server*>(handle->data);
        server->core_.redraw_consumed();
        server->pump();
      },
      kRedrawDeadlineMs, 0);
}

// Timers come before the loop has looked at descriptors.
void Server::find_writable() {
  for (Client& client : clients_) {
    if (client.gone || !client.viewer || !core_.viewer_is_blocked(*client.viewer))
      continue;
    if (!client.terminal) {
      flush(client);
    } else if (!client.left_alone) {
      pollfd terminal{client.terminal->fd(), POLLOUT, 0};
      if (::poll(&terminal, 1, 0) == 1)
        core_.viewer_writable(*client.viewer);
    }
  }
}

void Server::perform(const action::AwaitSlow& /*await*/) {
  (void)uv_timer_start(
      slow_timer_.get(),
      [](uv_timer_t* handle) {
        auto* server = static_cast<Server*>(handle->data);
        server->find_writable();
        server->core_.slow_round();
        server->pump();
      },
      static_cast<std::uint64_t>(Core::kSlowRound.count()), 0);
}

// ---------------------------------------------------------------- the end

void Server::perform(const action::Ended& /*ended*/) {
  end_ = tree_.end();
  tree_.stop();
  told_ = told_ || end_->moved_away;  // another relay shows it, and will tell
  for (Client& client : clients_) {
    if (client.awaits_end)
      send_end(client);
  }
  (void)uv_timer_start(
      farewell_timer_.get(),
      [](uv_timer_t* handle) {
        auto* server = static_cast<Server*>(handle->data);
        server->told_ = true;
        server->pump();
      },
      static_cast<std::uint64_t>(setup_.remembers.count()), 0);
}

// Whoever is connected still hears what is on its way.
void Server::finish_if_done() {
  if (done_ || !end_ || !told_)
    return;
  for (const Client& client : clients_) {
    if (client.leaving)
      return;
  }
  done_ = true;
  uv_stop(loop_.get());
}

// ---------------------------------------------------------------- server.h

Status serve(RelaySetup setup, UniqueFd link) {
  (void)::prctl(PR_SET_NAME, "grab-relay");
  GRAB_TRY(UvLoop loop, UvLoop::open());
  Server server(std::move(setup), std::move(link), std::move(loop));
  return server.run();
}

}  // namespace grab::relay
