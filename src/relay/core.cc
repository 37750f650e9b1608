// SPDX-License-Identifier: MIT
// Actions come in this order: what is urgent (signals that follow from bytes already passed on),
// what the viewers have not been shown, what was typed, a change of size, a change of phase.
#include "relay/core.h"

#include <algorithm>
#include <cassert>
#include <csignal>
#include <utility>

namespace grab::relay {

Core::Core(Job job, WindowSize size) : job_(std::move(job)), size_(size), wanted_(size) {}

// ---------------------------------------------------------------- output

bool Core::wants_output() const {
  return phase_ == Phase::kRunning && !output_.full();
}

void Core::output_arrived(std::size_t n) {
  assert(wants_output() || n == 0);
  const std::uint64_t from = output_.end();
  output_.commit(n);
  tracker_.follow(output_.view(from, output_.end()));  // one piece: space() was
  if (tracker_.between_sequences())
    show_held_notices();
  release_shown();
}

void Core::output_ended() {
  show_held_notices();
  if (phase_ != Phase::kEnded)
    phase_ = Phase::kEnding;
}

std::string_view Core::unshown(const ViewerState& viewer) const {
  if (viewer.inserts.empty())
    return output_.view(viewer.position, output_.end());
  const Insert& insert = viewer.inserts.front();
  if (insert.at == viewer.position)
    return std::string_view(insert.bytes).substr(insert.taken);
  return output_.view(viewer.position, insert.at);
}

bool Core::all_shown() const {
  return std::all_of(viewers_.begin(), viewers_.end(),
                     [&](const auto& entry) { return unshown(entry.second).empty(); });
}

void Core::viewer_took(ViewerId id, std::size_t n) {
  ViewerState& viewer = state(id);
  assert(n <= unshown(viewer).size());
  if (!viewer.inserts.empty() && viewer.inserts.front().at == viewer.position) {
    Insert& insert = viewer.inserts.front();
    insert.taken += n;
    if (insert.taken == insert.bytes.size())
      viewer.inserts.pop_front();
    return;
  }
  viewer.position += n;
  release_shown();
}

// The output that every viewer has been shown makes room for more.
void Core::release_shown() {
  std::uint64_t shown = output_.end();
  for (const auto& [id, viewer] : viewers_)
    shown = std::min(shown, viewer.position);
  output_.release(shown);
}

// To every viewer, after all output that has arrived.
void Core::show(const std::string& bytes) {
  if (bytes.empty())
    return;
  for (auto& [id, viewer] : viewers_)
    viewer.inserts.push_back({output_.end(), bytes, 0});
}

void Core::notice(std::string_view line) {
  held_notices_.emplace_back(line);
  if (tracker_.between_sequences() || phase_ >= Phase::kEnding)
    show_held_notices();
}

void Core::show_held_notices() {
  std::string text;
  for (const std::string& line : held_notices_)
    text += "grab: " + line + "\r\n";
  held_notices_.clear();
  if (!text.empty() && !tracker_.at_line_start())
    text.insert(0, "\r\n");
  show(text);
}

// ---------------------------------------------------------------- viewers

ViewerId Core::add_viewer() {
  const ViewerId id = next_viewer_++;
  viewers_[id].position = output_.end();
  return id;
}

void Core::viewer_gone(ViewerId id) {
  viewers_.erase(id);
  if (sending_ && sending_->viewer == id)
    sending_.reset();
  release_shown();
  // Nobody is left who could say "go on".
  const bool stopped = phase_ >= Phase::kStopping && phase_ <= Phase::kStopped;
  if (stopped && viewers_.empty())
    continued({});
}

bool Core::wants_input(ViewerId id) const {
  return phase_ == Phase::kRunning && !state(id).input.full();
}

void Core::typed(ViewerId id, std::size_t n) {
  state(id).input.commit(n);
}

void Core::discard_input() {
  sending_.reset();
  for (auto& [id, viewer] : viewers_)
    viewer.input.release(viewer.input.end());
}

// ---------------------------------------------------------------- input and signals

// Kernel: the kernel's line discipline looks for the signal characters first, and takes VLNEXT only
// with ICANON and IEXTEN; the byte after it is plain whatever it is. A change of ICANON forgets a
// VLNEXT. Source: drivers/tty/n_tty.c, n_tty_receive_char_special(), n_tty_set_termios().
Core::Key Core::classify(char byte, const PtsState& pts) {
  const auto character = static_cast<unsigned char>(byte);
  if (std::exchange(quoted_, false) && pts.quotes)
    return Key::kPlain;
  if (character == 0)
    return Key::kPlain;
  if (pts.isig && character == pts.intr)
    return Key::kInterrupt;
  if (pts.isig && character == pts.quit)
    return Key::kQuit;
  if (pts.isig && character == pts.susp)
    return suspends(pts) ? Key::kSuspend : Key::kPlain;
  quoted_ = pts.quotes && character == pts.lnext;
  return Key::kPlain;
}

bool Core::job_in_foreground(const PtsState& pts) const {
  return !job_.kernel_signals_job || pts.foreground_pgid == job_.job_pgid;
}

// Kernel: a process group whose members have no parent in another group of the same session is
// orphaned, and the default action of SIGTSTP is then discarded. Root's parent is in the old
// session, so a moved group is orphaned: ^Z would do nothing there, and SIGSTOP must do it. Jobs
// that a shell inside the tree starts are not orphaned. Source: kernel/signal.c get_signal(),
// setpgid(2). An interactive shell in its own foreground ignores SIGTSTP, and is left alone.
bool Core::suspends(const PtsState& pts) const {
  return !pts.job_ignores_sigtstp && job_in_foreground(pts);
}

void Core::signal_job(int signo, bool kernel_does) {
  if (!kernel_does)
    urgent_.emplace_back(action::SignalGroup{job_.job_pgid, signo});
  for (const pid_t pgid : job_.follower_pgids)
    urgent_.emplace_back(action::SignalGroup{pgid, signo});
}

// What was typed, up to and with the first byte that makes a signal.
std::optional<Action> Core::next_input(const PtsState& pts) {
  if (phase_ != Phase::kRunning || !ptmx_writable_)
    return std::nullopt;
  for (auto& [id, viewer] : viewers_) {
    const std::string_view bytes = viewer.input.view(viewer.input.begin(), viewer.input.end());
    if (bytes.empty())
      continue;
    const bool quoted = quoted_;
    std::size_t length = 0;
    Key key = Key::kPlain;
    while (length < bytes.size() && key == Key::kPlain)
      key = classify(bytes[length++], pts);
    if (key == Key::kSuspend)
      --length;
    if (length == 0) {  // the suspend character is the next one: it is ours
      viewer.input.release(viewer.input.begin() + 1);
      stop_tree();
      return next(pts);
    }
    quoted_ = quoted;  // ptmx_took() goes over the bytes that were really passed on
    sending_ = Sending{id, pts};
    return action::WritePtmx{bytes.substr(0, length)};
  }
  return std::nullopt;
}

void Core::ptmx_took(std::size_t n) {
  assert(sending_);
  if (!sending_)
    return;
  const Sending sending = *std::exchange(sending_, std::nullopt);
  ByteRing& input = state(sending.viewer).input;
  const std::string_view bytes = input.view(input.begin(), input.begin() + n);
  for (const char byte : bytes) {
    const Key key = classify(byte, sending.pts);
    if (key == Key::kPlain || !job_in_foreground(sending.pts))
      continue;
    signal_job(key == Key::kInterrupt ? SIGINT : SIGQUIT, job_.kernel_signals_job);
  }
  input.release(input.begin() + n);
}

// ---------------------------------------------------------------- size

void Core::resized(WindowSize size) {
  wanted_ = size;
  if (redraw_ == Redraw::kAwaited && size != size_)
    redraw_ = Redraw::kNone;  // the new size is change enough
}

void Core::redraw(std::vector<pid_t> pgids) {
  redraw_ = Redraw::kWanted;
  redraw_pgids_ = std::move(pgids);
}

void Core::redraw_consumed() {
  if (redraw_ == Redraw::kAwaited)
    redraw_ = Redraw::kNone;
}

// Kernel: setting the size that a terminal has already sends no SIGWINCH. So a redraw needs a
// change that is seen as such, and a change back. Source: tty_do_resize(), pty_resize(); seen.
WindowSize Core::target_size() const {
  WindowSize size = wanted_;
  if (redraw_ == Redraw::kNone || size.rows == 0)
    return size;
  size.rows = static_cast<unsigned short>(size.rows > 1 ? size.rows - 1 : size.rows + 1);
  return size;
}

std::optional<Action> Core::next_size(const PtsState& pts) {
  const WindowSize target = target_size();
  if (redraw_ == Redraw::kWanted) {
    redraw_ = Redraw::kAwaited;
    urgent_.emplace_back(action::AwaitRedraw{});
  }
  if (target == size_)
    return urgent_.empty() ? std::nullopt : next(pts);
  size_ = target;
  if (job_in_foreground(pts))
    signal_job(SIGWINCH, job_.kernel_signals_job);
  // Programs to be redrawn that neither the kernel nor signal_job() reaches.
  const auto reached = [&](pid_t pgid) {
    const std::vector<pid_t>& followers = job_.follower_pgids;
    return pgid == pts.foreground_pgid ||
           (job_in_foreground(pts) &&
            (pgid == job_.job_pgid ||
             std::find(followers.begin(), followers.end(), pgid) != followers.end()));
  };
  for (const pid_t pgid : redraw_pgids_) {
    if (!reached(pgid))
      urgent_.emplace_back(action::SignalGroup{pgid, SIGWINCH});
  }
  if (redraw_ == Redraw::kNone)
    redraw_pgids_.clear();
  return action::SetWindowSize{target};
}

// ---------------------------------------------------------------- phases

void Core::stop_tree() {
  signal_job(SIGSTOP, false);
  phase_ = Phase::kStopping;
}

void Core::continued(const std::vector<pid_t>& full_screen_pgids) {
  if (phase_ >= Phase::kEnding)
    return;
  show(tracker_.redo());
  if (phase_ != Phase::kRunning) {
    signal_job(SIGCONT, false);
    phase_ = Phase::kRunning;
  }
  if (tracker_.alternate_screen() || !full_screen_pgids.empty())
    redraw(full_screen_pgids);
}

std::optional<Action> Core::next_phase() {
  if (!all_shown())
    return std::nullopt;
  switch (phase_) {
    case Phase::kStopping:
    case Phase::kEnding:
      phase_ = phase_ == Phase::kStopping ? Phase::kGivingBack : Phase::kEndingUndone;
      show(tracker_.undo());
      return next({});
    case Phase::kGivingBack:
      phase_ = Phase::kStopped;
      return action::Suspend{};
    case Phase::kEndingUndone:
      phase_ = Phase::kEnded;
      return action::Ended{};
    case Phase::kRunning:
    case Phase::kStopped:
    case Phase::kEnded:
      break;
  }
  return std::nullopt;
}

std::optional<Action> Core::next_write_viewer() const {
  for (const auto& [id, viewer] : viewers_) {
    const std::string_view bytes = unshown(viewer);
    if (viewer.writable && !bytes.empty())
      return action::WriteViewer{id, bytes};
  }
  return std::nullopt;
}

bool Core::needs_pts_state() const {
  if (phase_ != Phase::kRunning)
    return false;
  if (redraw_ == Redraw::kWanted || target_size() != size_)
    return true;
  return ptmx_writable_ && std::any_of(viewers_.begin(), viewers_.end(), [](const auto& entry) {
           return entry.second.input.size() != 0;
         });
}

std::optional<Action> Core::next(const PtsState& pts) {
  if (!urgent_.empty()) {
    Action action = urgent_.front();
    urgent_.pop_front();
    return action;
  }
  if (auto action = next_write_viewer())
    return action;
  if (phase_ == Phase::kRunning) {
    if (auto action = next_input(pts))
      return action;
  }
  if (phase_ == Phase::kRunning) {
    if (auto action = next_size(pts))
      return action;
  }
  return next_phase();
}

}  // namespace grab::relay
