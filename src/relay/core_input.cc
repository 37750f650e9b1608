// SPDX-License-Identifier: MIT
// What is typed, the signals that follow from it, and the tree that ^Z stops.
#include <algorithm>
#include <cctype>
#include <csignal>
#include <cstring>
#include <utility>

#include "relay/controls.h"
#include "relay/core.h"

namespace grab::relay {
namespace {

// Returns how many bytes there was room for.
std::size_t append(ByteRing& ring, std::string_view bytes) {
  std::size_t taken = 0;
  while (!ring.full() && taken < bytes.size()) {
    const std::span<char> space = ring.space();
    const std::size_t n = std::min(space.size(), bytes.size() - taken);
    std::memcpy(space.data(), bytes.data() + taken, n);
    ring.commit(n);
    taken += n;
  }
  return taken;
}

}  // namespace

// ---------------------------------------------------------------- typing

bool Core::wants_input(ViewerId id) const {
  const ViewerState& viewer = state(id);
  return !ended_ && viewer.stays() && viewer.input_room() > 0;
}

std::span<char> Core::input_space(ViewerId id) {
  ViewerState& viewer = state(id);
  const std::span<char> space = viewer.input.space();
  return space.first(std::min(space.size(), viewer.input_room()));
}

void Core::typed(ViewerId id, std::size_t n) {
  ViewerState& viewer = state(id);
  const std::string_view bytes(viewer.input.space().data(), n);
  if (viewer.detach_key.leaves_alone(bytes) && !viewer.read_only && is_running()) {
    viewer.input.commit(n);
    heard_from(id);
    return;
  }
  act_on(viewer, viewer.detach_key.typed(bytes));
}

void Core::act_on(ViewerState& viewer, const DetachKey::Verdict& verdict) {
  if (verdict.began)
    urgent_.emplace_back(action::AwaitDetach{viewer.id, viewer.detach_key.awaited_byte()});
  keep_typed(viewer, verdict.passed);
  if (!verdict.detaches)
    return;
  viewer.typed_behind = verdict.behind;
  detach(viewer.id, DetachReason::kKey);
}

void Core::keep_typed(ViewerState& viewer, std::string_view bytes) {
  if (viewer.read_only || bytes.empty())
    return;
  heard_from(viewer.id);
  if (stopped_ == Stopped::kByKey) {
    continue_tree();
    bytes.remove_prefix(bytes.front() == kEsc ? bytes.size() : 1);  // that key, and no part of it
  }
  (void)append(viewer.input, bytes);  // input_room() has kept room for what was held back
}

void Core::detach_deadline(ViewerId id) {
  const auto viewer = viewers_.find(id);
  if (viewer != viewers_.end())
    act_on(viewer->second, viewer->second.detach_key.deadline());
}

std::size_t Core::type(std::string_view text) {
  return ended_ ? 0 : append(sent_, text);
}

// What it has typed before it went is for the tree all the same.
void Core::pass_on_all(const ViewerState& viewer) {
  const ByteRing& input = viewer.input;
  for (std::uint64_t at = input.begin(); at < input.end();) {
    const std::string_view piece = input.view(at, input.end());
    at += piece.size();
    (void)type(piece);  // what is more than anybody can have typed is lost
  }
}

void Core::discard_input() {
  sending_.reset();
  output_.answers().clear();
  sent_.release(sent_.end());
  for (auto& [id, viewer] : viewers_)
    viewer.input.release(viewer.input.end());
}

// ---------------------------------------------------------------- what the pts gets

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
  if (pts.front_pgid != 0)
    return true;
  return !pts.job_ignores_sigtstp && job_in_foreground(pts);
}

void Core::signal_job(int signo, bool kernel_does) {
  if (!kernel_does)
    urgent_.emplace_back(action::SignalGroup{job_.job_pgid, signo});
  for (const pid_t pgid : job_.follower_pgids)
    urgent_.emplace_back(action::SignalGroup{pgid, signo});
}

bool Core::has_input() const {
  return sent_.size() != 0 || std::any_of(viewers_.begin(), viewers_.end(), [](const auto& entry) {
           return entry.second.input.size() != 0;
         });
}

template <class Wanted>
bool Core::has_input_byte(Wanted wanted) const {
  const auto in = [&wanted](const ByteRing& input) {
    for (std::uint64_t at = input.begin(); at < input.end();) {
      const std::string_view piece = input.view(at, input.end());
      if (std::any_of(piece.begin(), piece.end(), wanted))
        return true;
      at += piece.size();
    }
    return false;
  };
  return in(sent_) || std::any_of(viewers_.begin(), viewers_.end(),
                                  [&in](const auto& entry) { return in(entry.second.input); });
}

bool Core::has_control_input() const {
  return has_input_byte([](char byte) { return std::iscntrl(static_cast<unsigned char>(byte)); });
}

bool Core::needs_job_state(const PtsState& modes) const {
  if (changes_size())
    return true;
  return modes.isig && has_input_byte([&modes](char byte) {
           const auto character = static_cast<unsigned char>(byte);
           return character != 0 &&
                  (character == modes.intr || character == modes.quit || character == modes.susp);
         });
}

// Each has its turn with what it had typed when it began, so that nobody waits for a flood.
bool Core::choose_turn() {
  if (!has_input())
    return false;
  const bool here = turn_ == kNobody || viewers_.contains(turn_);
  if (here && input_of(turn_).begin() < std::min(turn_until_, input_of(turn_).end()))
    return true;
  do {
    const auto next = viewers_.upper_bound(turn_);
    turn_ = next == viewers_.end() ? kNobody : next->first;
  } while (input_of(turn_).size() == 0);
  turn_until_ = input_of(turn_).end();
  return true;
}

// To be typed while there is no terminal that answers. There is no signal in it.
std::optional<Action> Core::next_answers() {
  if (!ptmx_writable_ || output_.answers().empty())
    return std::nullopt;
  sending_.reset();
  return action::WritePtmx{output_.answers()};
}

// The kernel would signal the group that it has in front, which is another one.
void Core::act_on(Key key, const PtsState& pts) {
  if (pts.front_pgid == 0)
    return stop_tree(turn_);
  const int signo = key == Key::kInterrupt ? SIGINT : key == Key::kQuit ? SIGQUIT : SIGTSTP;
  urgent_.emplace_back(action::SignalFront{pts.front_pgid, signo});
}

// What was typed, up to and with the first byte that makes a signal.
std::optional<Action> Core::next_input(const PtsState& pts) {
  while (is_running() && ptmx_writable_ && choose_turn()) {
    ByteRing& input = input_of(turn_);
    const std::string_view bytes = input.view(input.begin(), turn_until_);
    const bool quoted = quoted_;
    std::size_t length = 0;
    Key key = Key::kPlain;
    while (length < bytes.size() && key == Key::kPlain)
      key = classify(bytes[length++], pts);
    if (key == Key::kSuspend || (key != Key::kPlain && pts.front_pgid != 0))
      --length;
    if (length == 0) {  // the next character is not for the kernel
      input.release(input.begin() + 1);
      act_on(key, pts);
      if (!urgent_.empty())
        return std::nullopt;
      continue;
    }
    quoted_ = quoted;  // ptmx_took() goes over the bytes that were really passed on
    sending_ = Sending{pts, turn_};
    return action::WritePtmx{bytes.substr(0, length)};
  }
  return std::nullopt;
}

void Core::ptmx_took(std::size_t n) {
  if (!sending_) {
    std::string& answers = output_.answers();
    answers.erase(0, n);
    return;
  }
  const Sending sending = *std::exchange(sending_, std::nullopt);
  ByteRing& input = input_of(sending.typist);
  const std::string_view bytes = input.view(input.begin(), input.begin() + n);
  for (const char byte : bytes) {
    const Key key = classify(byte, sending.pts);
    if (key == Key::kPlain || !job_in_foreground(sending.pts))
      continue;
    signal_job(key == Key::kInterrupt ? SIGINT : SIGQUIT, job_.kernel_signals_job);
  }
  input.release(input.begin() + n);
}

// ---------------------------------------------------------------- stopping

void Core::signal_tree(int signo) {
  if (ended_)
    return;
  signal_job(signo, false);
  if (signo == SIGSTOP)
    stopped_ = Stopped::kBySignal;
  else if (signo == SIGCONT)
    stopped_ = Stopped::kNo;
}

// A tree that nobody can continue is not stopped.
void Core::stop_tree(ViewerId typist) {
  if (!somebody_can_continue())
    return;
  signal_job(SIGSTOP, false);
  stopped_ = Stopped::kByKey;
  const std::string line = "grab: " + job_.name + " was stopped by ^Z in another terminal";
  for (auto& [id, viewer] : viewers_) {
    if (!viewer.stays())
      continue;
    if (id == typist)
      leave(viewer, ViewerState::Leaving::kSuspend);
    else
      show_line(viewer,
                line + (viewer.read_only ? "\r\n" : "; it goes on when a key is typed here\r\n"));
  }
}

void Core::continue_tree() {
  signal_job(SIGCONT, false);
  stopped_ = Stopped::kNo;
}

bool Core::somebody_can_continue() const {
  return std::any_of(viewers_.begin(), viewers_.end(), [](const auto& entry) {
    return !entry.second.read_only && entry.second.may_stay();
  });
}

void Core::continue_unless_somebody_can() {
  if (stopped_ == Stopped::kByKey && !somebody_can_continue())
    continue_tree();
}

}  // namespace grab::relay
