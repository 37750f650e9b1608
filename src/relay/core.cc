// SPDX-License-Identifier: MIT
// What viewers are shown, and the order of things: what is urgent (signals that follow from bytes
// already passed on), what viewers have not been shown, what was typed, a change of size, viewers
// that go, pictures. Only when all that is done is output parsed.
#include "relay/core.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace grab::relay {
namespace {

// A terminal that takes nothing at all for so many rounds is not waited for when its viewer leaves:
// it is stopped by ^S, or its machine has gone.
constexpr int kLeaveRounds = 20 * Core::kSlowRounds;

}  // namespace

Core::Core(Job job, WindowSize size)
    : job_(std::move(job)), output_(kOutputBound, size), size_(size), wanted_(size) {}

// ---------------------------------------------------------------- output

bool Core::wants_output() const {
  return is_running() && !output_.full();
}

void Core::output_arrived(std::size_t n) {
  assert(wants_output() || n == 0);
  if (!output_.inside_sequence())
    choose_asked();
  output_.arrived(n);
  if (!held_notices_.empty() && output_.modes().between_sequences())
    show_held_notices();
}

void Core::output_ended() {
  if (std::exchange(ended_, true))
    return;
  stopped_ = Stopped::kNo;
  show_held_notices();
  for (auto& [id, viewer] : viewers_) {
    if (viewer.leaving == ViewerState::Leaving::kDetach)
      continue;
    if (viewer.is_here()) {
      leave(viewer, ViewerState::Leaving::kEnd);
    } else if (!viewer.has_left()) {
      viewer.stand_aside(ViewerState::Showing::kLeft, output_);
      urgent_.emplace_back(action::EndViewer{id});
    }
  }
}

// The terminal of the viewer that counts answers, if it sees the queries. A viewer that may not
// type cannot answer.
void Core::choose_asked() {
  for (auto id = heard_.rbegin(); id != heard_.rend(); ++id) {
    const ViewerState& viewer = state(*id);
    if (viewer.is_raw() && viewer.stays()) {
      output_.ask(*id);
      return;
    }
  }
  output_.ask(kNobody);
}

// It is shown nothing more that would be asked of it: another terminal answers, or the screen.
void Core::ask_another(const ViewerState& viewer) {
  if (output_.asked() == viewer.id)
    choose_asked();
  output_.ask_instead(viewer.id, viewer.position, output_.asked());
  answers_due_ = output_.has_unanswered();
}

// ---------------------------------------------------------------- viewers

ViewerId Core::add_viewer(const ViewerOptions& options) {
  const ViewerId id = next_viewer_++;
  ViewerState& viewer = viewers_.try_emplace(id, id, options, output_).first->second;
  if (ended_)
    viewer.leave(ViewerState::Leaving::kEnd, output_);
  else if (!options.read_only)
    heard_from(id);
  choose_size();
  if (!options.read_only && stopped_ == Stopped::kByKey)
    continue_tree();
  return id;
}

void Core::viewer_gone(ViewerId id) {
  ViewerState& viewer = state(id);
  if (sending_ && sending_->typist == id)
    sending_.reset();
  if (stopped_ != Stopped::kByKey)
    pass_on_all(viewer);
  viewer.showing = ViewerState::Showing::kLeft;
  ask_another(viewer);
  heard_.erase(std::remove(heard_.begin(), heard_.end(), id), heard_.end());
  viewers_.erase(id);
  choose_size();
  continue_unless_somebody_can();
}

void Core::leave(ViewerState& viewer, ViewerState::Leaving why) {
  viewer.leave(why, output_);
  ask_another(viewer);
  choose_size();
}

void Core::pause(ViewerId id) {
  ViewerState& viewer = state(id);
  if (!viewer.may_stay())
    return;
  if (viewer.is_here())
    leave(viewer, ViewerState::Leaving::kPause);
  else
    urgent_.emplace_back(action::ViewerPaused{id});
}

void Core::detach(ViewerId id, DetachReason reason) {
  ViewerState& viewer = state(id);
  if (!viewer.may_stay())
    return;
  viewer.reason = reason;
  if (viewer.is_here()) {
    leave(viewer, ViewerState::Leaving::kDetach);
  } else {
    viewer.stand_aside(ViewerState::Showing::kLeft, output_);
    urgent_.emplace_back(action::DetachViewer{id, reason});
  }
  continue_unless_somebody_can();
}

void Core::viewer_resumed(ViewerId id, WindowSize size,
                          const std::vector<pid_t>& full_screen_pgids) {
  ViewerState& viewer = state(id);
  if (!viewer.may_stay())
    return;
  viewer.size = size;
  viewer.come_back(output_, !viewer.read_only || fits(viewer));
  if (viewer.read_only)
    return;
  heard_from(id);
  if (stopped_ == Stopped::kByKey)
    continue_tree();
  if (output_.modes().alternate_screen() || !full_screen_pgids.empty())
    redraw(full_screen_pgids);
}

void Core::cut_off(ViewerState& viewer) {
  viewer.cut(output_);
  ask_another(viewer);
}

void Core::slow_round() {
  slow_round_runs_ = false;
  for (auto& [id, viewer] : viewers_) {
    const std::uint64_t taken = viewer.taken - viewer.taken_then;
    const bool holds_up = tree_is_held_up() && viewer.holds_output() && viewer.waited_for &&
                          !viewer.writable && output_.end() - viewer.position > kOutputBound / 2;
    const bool does_not_go = viewer.is_leaving() && taken == 0;
    if (holds_up || does_not_go)
      ++viewer.slow_rounds;
    else
      viewer.count_anew();
    if (holds_up && viewer.slow_rounds >= kSlowRounds) {
      if (taken < kOutputBound)
        cut_off(viewer);
      viewer.count_anew();
    } else if (viewer.slow_rounds >= kLeaveRounds) {
      viewer.given_up = true;
    }
  }
}

std::string Core::screen_text() {
  return output_.text();
}

std::string Core::parting(ViewerId id) const {
  return state(id).farewell(output_);
}

// ---------------------------------------------------------------- notices

void Core::notice(std::string_view line) {
  held_notices_.emplace_back(line);
  if (output_.modes().between_sequences() || ended_)
    show_held_notices();
}

void Core::show_held_notices() {
  std::string text;
  for (const std::string& line : std::exchange(held_notices_, {}))
    text += "grab: " + line + "\r\n";
  for (auto& [id, viewer] : viewers_)
    show_line(viewer, text);
}

// On a line of its own.
void Core::show_line(ViewerState& viewer, const std::string& text) {
  if (!text.empty())
    viewer.show_line((output_.modes().at_line_start() ? "" : "\r\n") + text, output_);
}

// ---------------------------------------------------------------- what to do

std::optional<Action> Core::next_write_viewer() {
  for (auto& [id, viewer] : viewers_) {
    if (!viewer.writable)
      continue;
    const std::string_view bytes = viewer.next_bytes(output_);
    if (!bytes.empty())
      return action::WriteViewer{id, bytes};
  }
  return std::nullopt;
}

std::optional<Action> Core::next_leaver() {
  using Leaving = ViewerState::Leaving;
  for (auto& [id, viewer] : viewers_) {
    if (!viewer.is_here() || viewer.leaving == Leaving::kNo || !viewer.has_finished(output_))
      continue;
    const Leaving why = viewer.leaving;
    const bool comes_back = why == Leaving::kSuspend || why == Leaving::kPause;
    viewer.stand_aside(comes_back ? ViewerState::Showing::kAway : ViewerState::Showing::kLeft,
                       output_);
    if (why == Leaving::kSuspend)
      return action::SuspendViewer{id};
    if (why == Leaving::kPause)
      return action::ViewerPaused{id};
    if (why == Leaving::kDetach)
      return action::DetachViewer{id, viewer.reason};
    return action::EndViewer{id};
  }
  return std::nullopt;
}

bool Core::draw_picture() {
  for (auto& [id, viewer] : viewers_) {
    if (!viewer.wants_picture())
      continue;
    viewer.draw(output_, fits(viewer));
    return true;
  }
  return false;
}

// Output that viewers have been shown, and the screen, makes room for more. It is kept until room
// is short: in large pieces most of it need not be parsed.
bool Core::make_room() {
  if (output_.size() < kOutputBound / 2)
    return false;
  std::uint64_t shown = output_.end(), shown_to_waited_for = output_.end();
  for (const auto& [id, viewer] : viewers_) {
    if (!viewer.holds_output())
      continue;
    shown = std::min(shown, viewer.position);
    if (viewer.waited_for)
      shown_to_waited_for = std::min(shown_to_waited_for, viewer.position);
  }
  release(shown);
  if (!output_.full() || shown_to_waited_for == output_.begin())
    return false;
  for (auto& [id, viewer] : viewers_) {
    if (viewer.holds_output() && viewer.position < shown_to_waited_for)
      cut_off(viewer);
  }
  release(shown_to_waited_for);
  return true;
}

void Core::release(std::uint64_t before) {
  for (auto& [id, viewer] : viewers_)
    viewer.remember_modes(output_, before);
  output_.release(before);
}

// True: there is something to do again.
bool Core::use_idle_time() {
  const bool idle = std::exchange(idle_, false);
  if (std::exchange(answers_due_, false) || (idle && output_.has_unanswered()))
    output_.parse(output_.end());
  bool again = !output_.answers().empty() && ptmx_writable_;
  for (auto& [id, viewer] : viewers_) {
    if (idle && viewer.is_up_to_date(output_))
      viewer.waited_for = true;
    const std::uint64_t changed = output_.end() - viewer.drawn_at;
    if (viewer.showing == ViewerState::Showing::kPicture && viewer.stays() &&
        changed >= (idle ? 1 : kOutputBound / 2))
      viewer.picture_due = true;
    again = again || viewer.wants_picture();
  }
  return again;
}

bool Core::starts_slow_round() {
  if (slow_round_runs_)
    return false;
  bool held_up = tree_is_held_up();
  for (const auto& [id, viewer] : viewers_)
    held_up = held_up || viewer.is_leaving();
  if (!held_up)
    return false;
  for (auto& [id, viewer] : viewers_) {
    if (viewer.slow_rounds == 0)
      viewer.count_anew();
  }
  slow_round_runs_ = true;
  return true;
}

bool Core::needs_pts_state() const {
  if (!is_running())
    return false;
  return changes_size() || (ptmx_writable_ && has_input());
}

std::optional<Action> Core::next_end() {
  const bool all_left = std::all_of(viewers_.begin(), viewers_.end(),
                                    [](const auto& entry) { return entry.second.has_left(); });
  if (!ended_ || !all_left || std::exchange(end_was_told_, true))
    return std::nullopt;
  return action::Ended{};
}

std::optional<Action> Core::next(const PtsState& pts) {
  const bool pts_is_known = needs_pts_state();
  for (;;) {
    if (!urgent_.empty()) {
      Action action = std::move(urgent_.front());
      urgent_.pop_front();
      return action;
    }
    if (auto action = next_write_viewer())
      return action;
    if (auto action = next_answers())
      return action;
    if (pts_is_known && is_running()) {
      if (auto action = next_input(pts))
        return action;
      if (!urgent_.empty())
        continue;
      if (auto action = next_size(pts))
        return action;
      if (!urgent_.empty())
        continue;
    }
    if (auto action = next_leaver())
      return action;
    if (auto action = next_write_viewer())
      return action;
    if (!draw_picture() && !make_room() && !use_idle_time())
      break;
  }
  if (auto action = next_end())
    return action;
  if (starts_slow_round())
    return action::AwaitSlow{};
  return std::nullopt;
}

}  // namespace grab::relay
