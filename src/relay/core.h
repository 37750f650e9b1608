// SPDX-License-Identifier: MIT
// The relay without its hands: buffers, job control and redrawing as values in, actions out. It has
// no descriptor, no clock and no event loop. Whoever owns those tells it what happened, then calls
// next() until there is nothing to do. What belongs to one viewer is in ViewerState, so that the
// core serves one terminal as well as several behind a socket.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "relay/byte_ring.h"
#include "relay/tracker.h"
#include "relay/window_size.h"

namespace grab::relay {

/// What does not change while the tree lives. The fields are those of MovedTree.
struct Job {
  pid_t job_pgid = 0;
  bool kernel_signals_job = true;
  std::vector<pid_t> follower_pgids;
};

/// The pts as it is at the moment when typed bytes are passed on. A character of 0 is disabled, as
/// _POSIX_VDISABLE says.
struct PtsState {
  bool isig = false;
  bool quotes = false;  ///< ICANON and IEXTEN: VLNEXT takes the next byte's meaning away
  unsigned char intr = 0, quit = 0, susp = 0, lnext = 0;
  pid_t foreground_pgid = 0;  ///< 0 where the pts belongs to no session
  bool job_ignores_sigtstp = false;
};

using ViewerId = int;

namespace action {
/// Write these bytes; then report viewer_took() or viewer_blocked().
struct WriteViewer {
  ViewerId viewer = 0;
  std::string_view bytes;
};
/// Write these bytes; then report ptmx_took() or ptmx_blocked().
struct WritePtmx {
  std::string_view bytes;
};
struct SignalGroup {
  pid_t pgid = 0;
  int signo = 0;
};
struct SetWindowSize {
  WindowSize size;
};
/// The size was changed for a redraw: report redraw_consumed() when the programs have seen it, or
/// when a deadline has passed.
struct AwaitRedraw {};
/// The tree is being stopped and the viewer has its screen back: restore the terminal's modes,
/// stop, and when continued set them again and report continued().
struct Suspend {};
/// Everything is shown, the screen's modes are undone. Nothing follows.
struct Ended {};
}  // namespace action

using Action =
    std::variant<action::WriteViewer, action::WritePtmx, action::SignalGroup, action::SetWindowSize,
                 action::AwaitRedraw, action::Suspend, action::Ended>;

class Core {
 public:
  /// `size` is the one that the pts has now.
  Core(Job job, WindowSize size);

  // --- the tree's output ---
  /// The ptmx is to be read: there is room, and the tree is not being stopped.
  [[nodiscard]] bool wants_output() const;
  /// Room to read into; not empty while wants_output().
  [[nodiscard]] std::span<char> output_space() { return output_.space(); }
  void output_arrived(std::size_t n);
  /// No process has the pts open any more, and all that was written has arrived.
  void output_ended();

  // --- viewers ---
  ViewerId add_viewer();
  /// Its terminal has gone. Without any viewer output is taken and thrown away, so that the tree
  /// never waits for somebody who is not there.
  void viewer_gone(ViewerId id);
  [[nodiscard]] bool wants_input(ViewerId id) const;
  [[nodiscard]] std::span<char> input_space(ViewerId id) { return state(id).input.space(); }
  void typed(ViewerId id, std::size_t n);
  void viewer_took(ViewerId id, std::size_t n);
  void viewer_blocked(ViewerId id) { state(id).writable = false; }
  void viewer_writable(ViewerId id) { state(id).writable = true; }
  [[nodiscard]] bool viewer_is_blocked(ViewerId id) const { return !state(id).writable; }
  void resized(WindowSize size);
  /// Shows a line of our own, between two sequences of the tree's output.
  void notice(std::string_view line);

  // --- the pts ---
  void ptmx_took(std::size_t n);
  void ptmx_blocked() { ptmx_writable_ = false; }
  void ptmx_writable() { ptmx_writable_ = true; }
  [[nodiscard]] bool ptmx_is_blocked() const { return !ptmx_writable_; }
  /// Nobody can ever read what is typed: forget it.
  void discard_input();

  // --- redrawing, stopping ---
  /// Makes programs draw their screen again by a size changed and changed back. `pgids`: their
  /// groups.
  void redraw(std::vector<pid_t> pgids);
  [[nodiscard]] bool awaits_redraw() const { return redraw_ == Redraw::kAwaited; }
  void redraw_consumed();
  /// After Suspend: the terminal is ours again. Also when it was taken away and given back without
  /// our doing. `full_screen_pgids`: groups of programs that are to draw their screen again.
  void continued(const std::vector<pid_t>& full_screen_pgids);

  // --- what to do ---
  /// next() will look at its argument.
  [[nodiscard]] bool needs_pts_state() const;
  [[nodiscard]] std::optional<Action> next(const PtsState& pts);
  /// What a viewer must still be sent when everything is given up at once.
  [[nodiscard]] std::string parting() const { return tracker_.undo(); }

  /// Bounds, in bytes. Output: what a viewer may lag behind before the tree is made to wait; more
  /// would only lengthen the wait for ^C to show. Input: what one write to a pts can take at most.
  static constexpr std::size_t kOutputBound = std::size_t{64} * 1024;
  static constexpr std::size_t kInputBound = std::size_t{64} * 1024;

 private:
  /// Bytes of our own for one viewer, at a place of the tree's output.
  struct Insert {
    std::uint64_t at = 0;
    std::string bytes;
    std::size_t taken = 0;
  };
  struct ViewerState {
    ByteRing input{kInputBound};
    std::uint64_t position = 0;  ///< how far it has been shown the output
    std::deque<Insert> inserts;
    bool writable = true;
  };
  enum class Phase {
    kRunning,
    kStopping,      ///< the groups have been sent SIGSTOP; output that had arrived is being shown
    kGivingBack,    ///< the screen's modes are being undone
    kStopped,       ///< Suspend was returned
    kEnding,        ///< the last output is being shown
    kEndingUndone,  ///< the screen's modes are being undone
    kEnded,
  };
  enum class Redraw { kNone, kWanted, kAwaited };
  enum class Key { kPlain, kInterrupt, kQuit, kSuspend };

  ViewerState& state(ViewerId id) { return viewers_.at(id); }
  [[nodiscard]] const ViewerState& state(ViewerId id) const { return viewers_.at(id); }
  [[nodiscard]] std::string_view unshown(const ViewerState& viewer) const;
  [[nodiscard]] bool all_shown() const;
  [[nodiscard]] WindowSize target_size() const;
  void show(const std::string& bytes);
  void release_shown();
  void show_held_notices();

  [[nodiscard]] std::optional<Action> next_write_viewer() const;
  [[nodiscard]] std::optional<Action> next_input(const PtsState& pts);
  [[nodiscard]] std::optional<Action> next_size(const PtsState& pts);
  [[nodiscard]] std::optional<Action> next_phase();

  [[nodiscard]] bool job_in_foreground(const PtsState& pts) const;
  [[nodiscard]] bool suspends(const PtsState& pts) const;
  Key classify(char byte, const PtsState& pts);
  void signal_job(int signo, bool kernel_does);
  void stop_tree();

  Job job_;
  ScreenTracker tracker_;
  ByteRing output_{kOutputBound};
  std::map<ViewerId, ViewerState> viewers_;
  ViewerId next_viewer_ = 1;
  std::vector<std::string> held_notices_;  // until between two sequences
  std::deque<Action> urgent_;              // to be done before anything else

  bool ptmx_writable_ = true;
  bool quoted_ = false;  // the byte before was an unquoted VLNEXT
  struct Sending {
    ViewerId viewer = 0;
    PtsState pts;
  };
  std::optional<Sending> sending_;  // the WritePtmx that was returned last

  WindowSize size_;    // of the pts
  WindowSize wanted_;  // of the viewer
  Redraw redraw_ = Redraw::kNone;
  std::vector<pid_t> redraw_pgids_;
  Phase phase_ = Phase::kRunning;
};

}  // namespace grab::relay
