// SPDX-License-Identifier: MIT
// The relay without its hands: buffers, viewers that come and go, job control and redrawing as
// values in, actions out. It has no descriptor, no clock and no event loop. Whoever owns those
// tells it what happened, then calls next() until there is nothing to do.
#pragma once

#include <sys/types.h>

#include <chrono>
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
#include "relay/screen.h"
#include "relay/tracker.h"
#include "relay/viewer_state.h"
#include "relay/window_size.h"

namespace grab::relay {

/// What does not change while the tree lives. The fields are those of MovedTree.
struct Job {
  pid_t job_pgid = 0;
  bool kernel_signals_job = true;
  std::vector<pid_t> follower_pgids;
  std::string name = "the tree";  ///< for notices; printable
};

/// The pts as it is at the moment when typed bytes are passed on. A character of 0 is disabled, as
/// _POSIX_VDISABLE says.
struct PtsState {
  bool isig = false;
  bool quotes = false;  ///< ICANON and IEXTEN: VLNEXT takes the next byte's meaning away
  unsigned char intr = 0, quit = 0, susp = 0, lnext = 0;
  // The job; looked at only where Core::needs_job_state() says so.
  pid_t foreground_pgid = 0;  ///< 0 where the pts belongs to no session
  bool job_ignores_sigtstp = false;
  /// In front, by what a shell of the tree says, where the kernel has another group; else 0.
  pid_t front_pgid = 0;
};

namespace action {
/// Write these bytes; then report viewer_took(), viewer_blocked() or viewer_gone().
struct WriteViewer {
  ViewerId viewer = 0;
  std::string_view bytes;
};
/// Write these bytes; then report ptmx_took(), ptmx_blocked() or discard_input().
struct WritePtmx {
  std::string_view bytes;
};
struct SignalGroup {
  pid_t pgid = 0;
  int signo = 0;
};
/// As the kernel would signal a group that is in front: SIGTSTP stops whom it would stop.
struct SignalFront {
  pid_t pgid = 0;
  int signo = 0;
};
struct SetWindowSize {
  WindowSize size;
};
/// The size was changed for a redraw: report redraw_consumed() when the programs have seen it, or
/// when a deadline has passed.
struct AwaitRedraw {};
/// The tree was stopped by ^Z typed here, and the viewer has its screen back: it restores its
/// terminal's modes and stops its own job. Then viewer_resumed() or viewer_gone().
struct SuspendViewer {
  ViewerId viewer = 0;
};
/// What pause() asked for is done: the screen's modes are undone, nothing is written or read
/// until viewer_resumed().
struct ViewerPaused {
  ViewerId viewer = 0;
};
/// The screen's modes are undone, nothing more is written or read: say so and call viewer_gone().
struct DetachViewer {
  ViewerId viewer = 0;
  DetachReason reason = DetachReason::kKey;
};
/// The tree has ended, all is shown, the screen's modes are undone: say so, call viewer_gone().
struct EndViewer {
  ViewerId viewer = 0;
};
/// Once: the tree has ended, and every viewer has been told to go (or there was none).
struct Ended {};
/// The detach key came once: call detach_deadline(viewer) in kDetachPatience. Asked again, the time
/// begins anew; asked for a viewer that has gone since, nothing is to be done.
struct AwaitDetach {
  ViewerId viewer = 0;
  std::optional<char> second_press;  ///< if it is pressed again this comes, where that is one byte
};
/// A viewer holds the others up: call slow_round() in kSlowRound, once.
struct AwaitSlow {};
}  // namespace action

using Action =
    std::variant<action::WriteViewer, action::WritePtmx, action::SignalGroup, action::SignalFront,
                 action::SetWindowSize, action::AwaitRedraw, action::SuspendViewer,
                 action::ViewerPaused, action::DetachViewer, action::EndViewer, action::Ended,
                 action::AwaitDetach, action::AwaitSlow>;

class Core {
 public:
  /// `size` is the one that the pts has now.
  Core(Job job, WindowSize size);

  // --- the tree's output ---
  /// The ptmx is to be read: there is room, and the tree was not stopped by ^Z.
  [[nodiscard]] bool wants_output() const;
  /// Room to read into; not empty while wants_output().
  [[nodiscard]] std::span<char> output_space() { return output_.space(); }
  void output_arrived(std::size_t n);
  /// The ptmx has nothing more just now. What nobody has parsed yet is parsed in next(), after
  /// everything has been shown, if somebody needs it; queries are answered if no viewer does.
  void output_idle() { idle_ = true; }
  /// No process has the pts open any more, and all that was written has arrived.
  void output_ended();

  // --- viewers ---
  /// Shows it the screen (unless it is up to date) and then what follows, continues a tree that ^Z
  /// stopped, and takes its size (unless it is read-only).
  ViewerId add_viewer(const ViewerOptions& options);
  /// Its terminal, or its process, has gone. The id is used no more. Without any viewer output is
  /// taken all the same, so that the tree never waits for somebody who is not there.
  void viewer_gone(ViewerId id);
  /// Its process is about to stop, or was found stopped: the screen's modes are undone, then comes
  /// ViewerPaused. It holds nothing up meanwhile.
  void pause(ViewerId id);
  /// After SuspendViewer or ViewerPaused: the terminal is ours again. Continues a tree that ^Z
  /// stopped. `full_screen_pgids`: groups of programs that are to draw their screen again.
  void viewer_resumed(ViewerId id, WindowSize size, const std::vector<pid_t>& full_screen_pgids);
  /// Sends it away: its screen's modes are undone, then comes DetachViewer.
  void detach(ViewerId id, DetachReason reason);
  void resized(ViewerId id, WindowSize size);

  [[nodiscard]] bool wants_input(ViewerId id) const;
  [[nodiscard]] std::span<char> input_space(ViewerId id);
  void typed(ViewerId id, std::size_t n);
  void detach_deadline(ViewerId id);
  /// After DetachViewer: what has been read of its terminal and is for whoever has that next.
  [[nodiscard]] const std::string& typed_behind(ViewerId id) const {
    return state(id).typed_behind;
  }

  void viewer_took(ViewerId id, std::size_t n) { state(id).took(n); }
  void viewer_blocked(ViewerId id) { state(id).writable = false; }
  void viewer_writable(ViewerId id) { state(id).writable = true; }
  [[nodiscard]] bool viewer_is_blocked(ViewerId id) const { return !state(id).writable; }
  /// To be called when viewer_writable() has been for every viewer that has room now: a relay that
  /// was kept from running has given nobody anything, and does not know who is slow.
  void slow_round();

  /// Shows every viewer a line of our own, between two sequences of the tree's output.
  void notice(std::string_view line);

  // --- what others ask for ---
  /// Types this, as a viewer would: signals and ^Z included. Returns how many bytes were taken:
  /// fewer than given when kInputBound bytes already wait.
  [[nodiscard]] std::size_t type(std::string_view text);
  /// To every group of the tree's job.
  void signal_tree(int signo);
  /// The visible screen, each row with a newline.
  [[nodiscard]] std::string screen_text();
  /// By ^Z or by signal_tree(SIGSTOP), and not continued since.
  [[nodiscard]] bool stopped() const { return stopped_ != Stopped::kNo; }
  [[nodiscard]] bool ended() const { return ended_; }
  /// Of the pts, as it is or is about to be.
  [[nodiscard]] WindowSize size() const { return wanted_; }

  // --- the pts ---
  void ptmx_took(std::size_t n);
  void ptmx_blocked() { ptmx_writable_ = false; }
  void ptmx_writable() { ptmx_writable_ = true; }
  [[nodiscard]] bool ptmx_is_blocked() const { return !ptmx_writable_; }
  /// Nobody can ever read what is typed: forget it.
  void discard_input();

  // --- redrawing ---
  /// Makes programs draw their screen again by a size changed and changed back. `pgids`: their
  /// groups.
  void redraw(std::vector<pid_t> pgids);
  [[nodiscard]] bool awaits_redraw() const { return redraw_ == Redraw::kAwaited; }
  void redraw_consumed();

  // --- what to do ---
  /// next() will look at its argument.
  [[nodiscard]] bool needs_pts_state() const;
  /// What it is to pass on has control characters, which may mean a signal: it needs the pts as it
  /// is now. For other keys the modes of a few milliseconds ago will do.
  [[nodiscard]] bool has_control_input() const;
  /// It will look at the job, too, if the pts has these modes: for a byte that makes a signal, or
  /// for a change of size. Other keys are passed on without it, which takes 15 us to find out.
  [[nodiscard]] bool needs_job_state(const PtsState& modes) const;
  /// What is to be done next. Bytes in it are valid until the core is called again.
  [[nodiscard]] std::optional<Action> next(const PtsState& pts);
  /// What a viewer must still be sent when it is given up at once, whatever it shows; also after
  /// EndViewer or DetachViewer, where its terminal took nothing for too long.
  [[nodiscard]] std::string parting(ViewerId id) const;

  /// Bounds, in bytes. Output: what a viewer may lag behind before the tree is made to wait; more
  /// would only lengthen the wait for ^C to show. Input: what one write to a pts can take at most.
  static constexpr std::size_t kOutputBound = std::size_t{64} * 1024;
  static constexpr std::size_t kInputBound = ViewerState::kInputBound;
  /// A terminal that takes less than kOutputBound in so many rounds, and is full at the end of
  /// each, is brought up to date from the screen: a person cannot read that anyway, and ^C shows
  /// within this time.
  static constexpr std::chrono::milliseconds kSlowRound{25};
  static constexpr int kSlowRounds = 4;
  /// Slower than a key that repeats, quicker than a person wonders.
  static constexpr std::chrono::milliseconds kDetachPatience{400};

 private:
  enum class Stopped { kNo, kByKey, kBySignal };
  enum class Redraw { kNone, kWanted, kAwaited };
  enum class Key { kPlain, kInterrupt, kQuit, kSuspend };
  using Viewers = std::map<ViewerId, ViewerState>;

  ViewerState& state(ViewerId id) { return viewers_.at(id); }
  [[nodiscard]] const ViewerState& state(ViewerId id) const { return viewers_.at(id); }

  [[nodiscard]] bool is_running() const { return !ended_ && stopped_ != Stopped::kByKey; }

  // core.cc: what viewers are shown
  void choose_asked();
  void ask_another(const ViewerState& viewer);
  void leave(ViewerState& viewer, ViewerState::Leaving why);
  void cut_off(ViewerState& viewer);
  void show_held_notices();
  void show_line(ViewerState& viewer, const std::string& text);
  [[nodiscard]] std::optional<Action> next_write_viewer();
  [[nodiscard]] std::optional<Action> next_leaver();
  [[nodiscard]] std::optional<Action> next_end();
  [[nodiscard]] bool draw_picture();
  [[nodiscard]] bool make_room();
  void release(std::uint64_t before);
  [[nodiscard]] bool use_idle_time();
  [[nodiscard]] bool tree_is_held_up() const { return output_.full() && is_running(); }
  [[nodiscard]] bool starts_slow_round();

  // core_size.cc: the size of the pts
  void heard_from(ViewerId id);
  void choose_size();
  [[nodiscard]] bool fits(const ViewerState& viewer) const;
  [[nodiscard]] WindowSize target_size() const;
  [[nodiscard]] std::optional<Action> next_size(const PtsState& pts);

  // core_input.cc: what is typed, signals, stopping
  void keep_typed(ViewerState& viewer, std::string_view bytes);
  void act_on(ViewerState& viewer, const DetachKey::Verdict& verdict);
  void pass_on_all(const ViewerState& viewer);
  [[nodiscard]] ByteRing& input_of(ViewerId id) { return id == kNobody ? sent_ : state(id).input; }
  [[nodiscard]] bool has_input() const;
  template <class Wanted>
  [[nodiscard]] bool has_input_byte(Wanted wanted) const;
  [[nodiscard]] bool changes_size() const {
    return redraw_ == Redraw::kWanted || target_size() != size_;
  }
  [[nodiscard]] bool choose_turn();
  [[nodiscard]] std::optional<Action> next_answers();
  [[nodiscard]] std::optional<Action> next_input(const PtsState& pts);
  [[nodiscard]] bool job_in_foreground(const PtsState& pts) const;
  [[nodiscard]] bool suspends(const PtsState& pts) const;
  Key classify(char byte, const PtsState& pts);
  void signal_job(int signo, bool kernel_does);
  void act_on(Key key, const PtsState& pts);
  void stop_tree(ViewerId typist);
  void continue_tree();
  [[nodiscard]] bool somebody_can_continue() const;
  void continue_unless_somebody_can();

  Job job_;
  TreeOutput output_;
  Viewers viewers_;
  ViewerId next_viewer_ = 1;
  std::vector<ViewerId> heard_;            // who may type, by when it did so last
  std::vector<std::string> held_notices_;  // until between two sequences
  std::deque<Action> urgent_;              // to be done before anything else
  bool idle_ = false;                      // output_idle() was called
  bool answers_due_ = false;               // the screen is to answer what another was asked
  bool slow_round_runs_ = false;

  bool ptmx_writable_ = true;
  bool quoted_ = false;           // the byte before was an unquoted VLNEXT
  ByteRing sent_{kInputBound};    // typed by nobody who is here
  ViewerId turn_ = kNobody;       // whose input is passed on
  std::uint64_t turn_until_ = 0;  // before another has its turn
  struct Sending {
    PtsState pts;
    ViewerId typist = kNobody;
  };
  std::optional<Sending>
      sending_;  // the WritePtmx that was returned last; answers if there is none

  WindowSize size_;    // of the pts
  WindowSize wanted_;  // of the viewer that counts
  Redraw redraw_ = Redraw::kNone;
  std::vector<pid_t> redraw_pgids_;
  Stopped stopped_ = Stopped::kNo;
  bool ended_ = false;
  bool end_was_told_ = false;
};

}  // namespace grab::relay
