// SPDX-License-Identifier: MIT
#include "relay/loop.h"

#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <string_view>
#include <utility>
#include <variant>

#include "relay/pts.h"

namespace grab::relay {
namespace {

// What is read before the viewer gets its turn: enough to write in large pieces, little enough to
// show the first byte at once.
constexpr std::size_t kReadBatch = std::size_t{32} * 1024;
// A program that has not drawn its screen after this long will not, or is in no hurry. The sizes
// are never changed back sooner than the program has seen them, or this has passed.
constexpr std::uint64_t kRedrawDeadlineMs = 300;

constexpr std::array kEndingSignals = {SIGTERM, SIGHUP, SIGINT};

bool would_block(int err) {
  return err == EAGAIN || err == EWOULDBLOCK || err == EINTR;
}

bool is_ignored(int signo) {
  struct sigaction action {};
  return ::sigaction(signo, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

Job job_of(const MovedTree& tree) {
  return {tree.job_pgid, tree.kernel_signals_job, tree.follower_pgids};
}

}  // namespace

Loop::Loop(UniqueFd ptmx, const MovedTree& tree, Viewer viewer, UniqueFd notices, UvLoop loop,
           ContinueWatch continues)
    : tree_(tree),
      ptmx_(std::move(ptmx)),
      notices_(std::move(notices)),
      terminal_(std::move(viewer)),
      groups_(tree),
      core_(job_of(tree), window_size(ptmx_.get())),
      viewer_(core_.add_viewer({window_size(terminal_.fd()), false, std::nullopt, true})),
      continues_(std::move(continues)),
      loop_(std::move(loop)) {}

// ---------------------------------------------------------------- start and end

Result<TreeEnd> Loop::run() {
  GRAB_CHECK(start());
  pump();
  if (!done_)
    (void)uv_run(loop_.get(), UV_RUN_DEFAULT);
  if (error_)
    return tl::unexpected(std::move(*error_));
  // The process may have been a zombie that hid its status, and have been reaped since.
  if (!wait_status_ && status_pidfd_.valid() && has_ended(status_pidfd_.get()))
    wait_status_ = wait_status(status_process_, status_pidfd_.get());
  return TreeEnd{wait_status_, moved_away_};
}

Status Loop::start() {
  const ProcessRef* status_process = find(tree_.status_pid);
  status_process_ = status_process != nullptr ? *status_process : ProcessRef{tree_.status_pid, 0};
  GRAB_TRY(status_pidfd_, open_pidfd(status_process_));
  GRAB_CHECK(start_signals());
  GRAB_CHECK(terminal_.take());
  core_.resized(viewer_, window_size(terminal_.fd()));
  GRAB_CHECK(watch<&Loop::on_ptmx>(ptmx_poll_, ptmx_.get(), UV_READABLE, "the ptmx"));
  GRAB_CHECK(
      watch<&Loop::on_viewer>(viewer_poll_, terminal_.fd(), UV_READABLE, "grab's own terminal"));
  GRAB_CHECK(watch<&Loop::on_continue>(continue_poll_, continues_.fd(), UV_READABLE, "SIGCONT"));
  if (notices_.valid())
    GRAB_CHECK(watch<&Loop::on_notices>(notices_poll_, notices_.get(), UV_READABLE, "notices"));
  if (status_pidfd_.valid())
    GRAB_CHECK(watch<&Loop::on_status_process>(status_poll_, status_pidfd_.get(), UV_READABLE,
                                               "the tree's root"));
  GRAB_TRY(redraw_deadline_,
           UvHandle<uv_timer_t>::open("uv_timer_init", this, loop_.get(), uv_timer_init));
  GRAB_TRY(slow_deadline_,
           UvHandle<uv_timer_t>::open("uv_timer_init", this, loop_.get(), uv_timer_init));
  GRAB_CHECK(watch_next_process());
  if (!tree_.redraw_pids.empty())
    core_.redraw(redraw_pgids());
  return {};
}

// libuv restores the default action when it stops watching a signal: those that were ignored when
// grab was started (nohup) stay so.
Status Loop::start_signals() {
  for (std::size_t i = 0; i < kEndingSignals.size() + 1; ++i) {
    const int signo = i < kEndingSignals.size() ? kEndingSignals[i] : SIGWINCH;
    if (signo != SIGWINCH && is_ignored(signo))
      continue;
    GRAB_TRY(signals_[i],
             UvHandle<uv_signal_t>::open("uv_signal_init", this, loop_.get(), uv_signal_init));
    GRAB_CHECK(uv_status(
        uv_signal_start(
            signals_[i].get(),
            [](uv_signal_t* handle, int n) { static_cast<Loop*>(handle->data)->on_signal(n); },
            signo),
        "uv_signal_start"));
  }
  return {};
}

void Loop::on_signal(int signo) {
  if (signo == SIGWINCH) {
    core_.resized(viewer_, window_size(terminal_.fd()));
    pump();
    return;
  }
  give_up(Error{ErrorKind::kSystem, 0,
                std::string("showing ") + tree_.name + " was ended by SIG" + sigabbrev_np(signo),
                "the processes go on, but their terminal is gone"});
}

void Loop::give_up(Error error) {
  // The terminal may not take it: then nothing more can be done for it.
  const std::string parting = core_.parting(viewer_);
  if (::write(terminal_.fd(), parting.data(), parting.size()) < 0)
    errno = 0;
  error_ = std::move(error);
  done_ = true;
  uv_stop(loop_.get());
}

const ProcessRef* Loop::find(pid_t pid) const {
  for (const ProcessRef& process : tree_.processes) {
    if (process.pid == pid)
      return &process;
  }
  return nullptr;
}

// ---------------------------------------------------------------- polling

template <Loop::PollCallback callback>
void Loop::call(uv_poll_t* handle, int status, int events) {
  (static_cast<Loop*>(handle->data)->*callback)(status, events);
}

template <Loop::PollCallback callback>
Status Loop::watch(Poll& poll, int fd, int events, const char* what) {
  GRAB_TRY(poll.handle, UvHandle<uv_poll_t>::open(std::string("watching ") + what, this,
                                                  loop_.get(), uv_poll_init, fd));
  poll.events = 0;
  set_events(poll, events, call<callback>);
  return {};
}

// Kernel: epoll reports a hang-up also where nothing was asked for. libuv stops watching when there
// is nothing to ask, so that a terminal that has gone cannot keep us awake while we are paused.
void Loop::set_events(Poll& poll, int events, uv_poll_cb callback) {
  if (events == poll.events || !poll.handle.valid())
    return;
  poll.events = events;
  if (events == 0)
    (void)uv_poll_stop(poll.handle.get());
  else
    (void)uv_poll_start(poll.handle.get(), events, callback);
}

void Loop::update_events() {
  const int output = core_.wants_output() ? UV_READABLE : 0;
  const int input = core_.wants_input(viewer_) ? UV_READABLE : 0;
  const int to_ptmx = core_.ptmx_is_blocked() ? UV_WRITABLE : 0;
  const int to_viewer = core_.viewer_is_blocked(viewer_) ? UV_WRITABLE : 0;
  set_events(ptmx_poll_, output | to_ptmx, call<&Loop::on_ptmx>);
  set_events(viewer_poll_, input | to_viewer, call<&Loop::on_viewer>);
}

void Loop::pump() {
  while (!done_) {
    const PtsState pts = core_.needs_pts_state() ? pts_state() : PtsState{};
    const std::optional<Action> action = core_.next(pts);
    if (!action)
      break;
    std::visit([this](const auto& what) { perform(what); }, *action);
  }
  if (!done_)
    update_events();
}

PtsState Loop::pts_state() const {
  PtsState state = read_pts_state(ptmx_.get());
  auto signals = read_signals(tree_.job_pgid);
  if (!signals)
    signals = read_signals(tree_.status_pid);
  state.job_ignores_sigtstp = signals && ProcSignals::has(signals->ignored, SIGTSTP);
  return state;
}

// ---------------------------------------------------------------- the ptmx

void Loop::on_ptmx(int status, int events) {
  if ((events & UV_WRITABLE) != 0 || status < 0)
    core_.ptmx_writable();
  if ((events & UV_READABLE) != 0 || status < 0)
    read_output();
  if (core_.awaits_redraw() && redraw_was_seen())
    core_.redraw_consumed();
  pump();
}

// Kernel: the ptmx gives EIO when no process has the pts open, after all that was written has been
// read, until one opens it again. Source: pty(7), n_tty_read(); seen.
void Loop::read_output() {
  std::size_t total = 0;
  while (core_.wants_output() && total < kReadBatch) {
    const std::span<char> space = core_.output_space();
    const ssize_t n = ::read(ptmx_.get(), space.data(), space.size());
    if (n > 0) {
      core_.output_arrived(static_cast<std::size_t>(n));
      total += static_cast<std::size_t>(n);
    } else if (n < 0 && would_block(errno)) {
      core_.output_idle();
      return;
    } else {
      hung_up();
      return;
    }
  }
}

// Nobody has the pts open: the tree has ended, has been moved to another terminal, or will open it
// again.
void Loop::hung_up() {
  bool alive = false;
  for (std::size_t i = known_; i < tree_.processes.size() && !alive; ++i) {
    const Result<UniqueFd> pidfd = open_pidfd(tree_.processes[i]);
    alive = pidfd && pidfd->valid() && !has_ended(pidfd->get());
  }
  // In exit(2) a process has no terminal any more; one that was moved has another.
  const auto root = read_stat(tree_.job_pgid);
  moved_away_ = alive && tree_.kernel_signals_job && root && root->terminal != 0 &&
                root->terminal != pts_number(ptmx_.get());
  if (alive && !moved_away_) {
    if (Result<UniqueFd> pts = open_pts(ptmx_.get())) {
      own_pts_ = std::move(*pts);
      return;
    }
  }
  core_.output_ended();
}

void Loop::perform(const action::WritePtmx& write) {
  const ssize_t n = ::write(ptmx_.get(), write.bytes.data(), write.bytes.size());
  if (n > 0)
    core_.ptmx_took(static_cast<std::size_t>(n));
  else if (n == 0 || would_block(errno))
    core_.ptmx_blocked();
  else
    core_.discard_input();  // EIO: no process has the pts open, and none that we know of will
}

void Loop::perform(const action::SetWindowSize& size) {
  set_window_size(ptmx_.get(), size.size);
}

void Loop::perform(const action::SignalGroup& signal) {
  const bool typed = signal.signo == SIGINT || signal.signo == SIGQUIT;
  if (typed) {
    if (const Result<UniqueFd> pts = open_pts(ptmx_.get()))
      settle_input(pts->get());
  }
  groups_.signal(signal.pgid, signal.signo);
}

// ---------------------------------------------------------------- the viewer

void Loop::on_viewer(int status, int events) {
  if (status < 0) {
    viewer_has_gone(0);
    return;
  }
  if ((events & UV_WRITABLE) != 0)
    core_.viewer_writable(viewer_);
  if ((events & UV_READABLE) != 0)
    read_input();
  pump();
}

void Loop::viewer_has_gone(int err) {
  give_up(Error{ErrorKind::kSystem, err, "the terminal that showed " + tree_.name + " has gone",
                "the processes go on, but their terminal is gone"});
}

// Kernel: a terminal that was hung up gives end of file, or EIO. EIO also comes to a background
// process in an orphaned group, which cannot use the terminal either. Source: tty_ioctl(2),
// credentials(7).
void Loop::read_input() {
  if (!core_.wants_input(viewer_))
    return;
  const std::span<char> space = core_.input_space(viewer_);
  const ssize_t n = ::read(terminal_.fd(), space.data(), space.size());
  if (n > 0) {
    core_.typed(viewer_, static_cast<std::size_t>(n));
  } else if (n == 0 || !would_block(errno)) {
    viewer_has_gone(n == 0 ? 0 : errno);
  }
}

void Loop::perform(const action::WriteViewer& write) {
  const ssize_t n = ::write(terminal_.fd(), write.bytes.data(), write.bytes.size());
  if (n > 0) {
    core_.viewer_took(viewer_, static_cast<std::size_t>(n));
  } else if (n == 0 || would_block(errno)) {
    core_.viewer_blocked(viewer_);
  } else {
    viewer_has_gone(errno);
  }
}

void Loop::on_notices(int status, int /*events*/) {
  std::array<char, 4096> part{};
  const ssize_t n = status < 0 ? 0 : ::read(notices_.get(), part.data(), part.size());
  if (n < 0 && would_block(errno))
    return;
  if (n > 0)
    notice_.append(part.data(), static_cast<std::size_t>(n));
  else if (!notice_.empty())
    notice_ += '\n';
  std::size_t end = 0;
  while ((end = notice_.find('\n')) != std::string::npos) {
    core_.notice(std::string_view(notice_).substr(0, end));
    notice_.erase(0, end + 1);
  }
  if (n <= 0)
    notices_poll_.handle.reset();
  pump();
}

// ---------------------------------------------------------------- stopping

void Loop::perform(const action::SuspendViewer& /*suspend*/) {
  terminal_.give_back();
  if (ViewerTerminal::stop_own_group(continues_) == ViewerTerminal::Stop::kImpossible)
    core_.notice("cannot stop here, as nothing would continue grab; " + tree_.name + " goes on");
  retake_terminal();
}

// Continued without our doing: we were stopped from outside, and a shell had the terminal.
void Loop::on_continue(int /*status*/, int /*events*/) {
  if (continues_.consume())
    retake_terminal();
  pump();
}

void Loop::retake_terminal() {
  if (const Status taken = terminal_.take(); !taken) {
    give_up(taken.error());
    return;
  }
  // take() may have waited for `fg`, whose SIGCONT is dealt with herewith.
  (void)continues_.consume();
  core_.viewer_resumed(viewer_, window_size(terminal_.fd()), redraw_pgids());
}

// ---------------------------------------------------------------- redrawing

std::vector<pid_t> Loop::redraw_pgids() const {
  std::vector<pid_t> alive;
  for (const pid_t pid : tree_.redraw_pids) {
    const ProcessRef* process = find(pid);
    const auto stat = read_stat(pid);
    if (stat && (process == nullptr || process->start_time == stat->start_time))
      alive.push_back(pid);
  }
  return groups_of(alive);
}

void Loop::perform(const action::AwaitRedraw& /*redraw*/) {
  (void)uv_timer_start(
      redraw_deadline_.get(),
      [](uv_timer_t* handle) {
        auto* loop = static_cast<Loop*>(handle->data);
        loop->core_.redraw_consumed();
        loop->pump();
      },
      kRedrawDeadlineMs, 0);
}

// Kernel: a SIGWINCH that is pending is not queued twice, and programs ask for the size only when
// they get to it, and compare: two changes in a row may look like none. So the size is changed back
// only when each program has taken the signal and is blocked again. Source: signal(7); seen.
bool Loop::redraw_was_seen() const {
  std::vector<pid_t> pids = tree_.redraw_pids;
  if (pids.empty())
    pids.push_back(read_pts_state(ptmx_.get()).foreground_pgid);  // its leader
  for (const pid_t pid : pids) {
    const auto signals = read_signals(pid);
    const auto stat = read_stat(pid);
    if (!signals || !stat)
      continue;
    if (ProcSignals::has(signals->pending, SIGWINCH) || stat->state == 'R')
      return false;
  }
  return true;
}

void Loop::perform(const action::AwaitSlow& /*slow*/) {
  (void)uv_timer_start(
      slow_deadline_.get(),
      [](uv_timer_t* handle) {
        auto* loop = static_cast<Loop*>(handle->data);
        loop->core_.slow_deadline();
        loop->pump();
      },
      Core::kSlowPatience.count(), 0);
}

// ---------------------------------------------------------------- the end

void Loop::on_status_process(int /*status*/, int /*events*/) {
  wait_status_ = wait_status(status_process_, status_pidfd_.get());
  status_poll_.handle.reset();
}

void Loop::on_known_process(int /*status*/, int /*events*/) {
  known_poll_.handle.reset();
  ++known_;
  if (const Status watched = watch_next_process(); !watched)
    give_up(watched.error());
  pump();
}

// One process is watched at a time: that the last of them has ended is all that matters, and a
// thousand processes need no thousand descriptors.
Status Loop::watch_next_process() {
  for (; known_ < tree_.processes.size(); ++known_) {
    GRAB_TRY(known_pidfd_, open_pidfd(tree_.processes[known_]));
    if (known_pidfd_.valid() && !has_ended(known_pidfd_.get()))
      return watch<&Loop::on_known_process>(known_poll_, known_pidfd_.get(), UV_READABLE,
                                            "the tree's processes");
  }
  known_pidfd_.reset();
  own_pts_.reset();  // from now on the ptmx tells when the last descriptor is closed
  return {};
}

void Loop::perform(const action::Ended& /*ended*/) {
  done_ = true;
  uv_stop(loop_.get());
}

// ---------------------------------------------------------------- relay.h

Result<TreeEnd> run_relay(UniqueFd ptmx, const MovedTree& tree, Viewer viewer, UniqueFd notices) {
  GRAB_TRY(UvLoop uv, UvLoop::open());
  GRAB_TRY(ContinueWatch continues, ContinueWatch::open());
  Loop loop(std::move(ptmx), tree, std::move(viewer), std::move(notices), std::move(uv),
            std::move(continues));
  return loop.run();
}

}  // namespace grab::relay
