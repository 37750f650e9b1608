// SPDX-License-Identifier: MIT
// The size of the pts: that of the viewer that typed last, and, to make programs draw their screen
// again, for a moment another.
#include <algorithm>
#include <csignal>
#include <utility>

#include "relay/core.h"

namespace grab::relay {

// ---------------------------------------------------------------- whose size

// It typed, or has just come: its size counts.
void Core::heard_from(ViewerId id) {
  if (!heard_.empty() && heard_.back() == id && state(id).size == wanted_)
    return;
  heard_.erase(std::remove(heard_.begin(), heard_.end(), id), heard_.end());
  heard_.push_back(id);
  choose_size();
}

void Core::resized(ViewerId id, WindowSize size) {
  ViewerState& viewer = state(id);
  viewer.size = size;
  choose_size();
}

void Core::choose_size() {
  if (ended_)
    return;
  const auto counts = std::find_if(heard_.rbegin(), heard_.rend(),
                                   [this](ViewerId id) { return state(id).stays(); });
  if (counts != heard_.rend())
    wanted_ = state(*counts).size;
  if (redraw_ == Redraw::kAwaited && wanted_ != size_)
    redraw_ = Redraw::kNone;  // the new size is change enough
  for (auto& [id, viewer] : viewers_) {
    if (!viewer.stays())
      continue;
    if (viewer.showing == ViewerState::Showing::kPicture)
      viewer.picture_due = true;
    else if (!fits(viewer))
      cut_off(viewer);
  }
}

// What was made for a larger screen would be garbage in a smaller window. A viewer without a size
// is not measured.
bool Core::fits(const ViewerState& viewer) const {
  const WindowSize size = viewer.size;
  return size.rows == 0 || size.columns == 0 ||
         (size.rows >= wanted_.rows && size.columns >= wanted_.columns);
}

// ---------------------------------------------------------------- redrawing

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
    return std::nullopt;
  size_ = target;
  output_.resize(target);
  for (auto& [id, viewer] : viewers_)
    viewer.picture_due = viewer.picture_due || !viewer.is_raw();
  if (job_in_foreground(pts))
    signal_job(SIGWINCH, job_.kernel_signals_job);
  if (pts.front_pgid != 0)
    urgent_.emplace_back(action::SignalFront{pts.front_pgid, SIGWINCH});
  // Programs to be redrawn that neither the kernel nor signal_job() reaches.
  const auto reached = [&](pid_t pgid) {
    const std::vector<pid_t>& followers = job_.follower_pgids;
    return pgid == pts.foreground_pgid || pgid == pts.front_pgid ||
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

}  // namespace grab::relay
