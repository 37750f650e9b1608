// SPDX-License-Identifier: MIT
// The hands of the relay: libuv, the ptmx and the viewer's terminal around a Core. It decides
// nothing about the bytes and signals that pass; it only carries out what the Core says.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>

#include <uv.h>

#include "base/error.h"
#include "base/unique_fd.h"
#include "relay/continue_watch.h"
#include "relay/core.h"
#include "relay/groups.h"
#include "relay/proc_info.h"
#include "relay/relay.h"
#include "relay/uv_handle.h"
#include "relay/viewer_terminal.h"

namespace grab::relay {

class Loop {
 public:
  /// `tree` must outlive it.
  Loop(UniqueFd ptmx, const MovedTree& tree, Viewer viewer, UniqueFd notices, UvLoop loop,
       ContinueWatch continues);
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;
  Loop(Loop&&) = delete;
  Loop& operator=(Loop&&) = delete;
  ~Loop() = default;

  /// Blocks until the tree has ended. Call it once.
  [[nodiscard]] Result<TreeEnd> run();

 private:
  /// A descriptor that is polled, with the events that libuv was last told.
  struct Poll {
    UvHandle<uv_poll_t> handle;
    int events = 0;
  };
  using PollCallback = void (Loop::*)(int status, int events);

  [[nodiscard]] Status start();
  template <PollCallback callback>
  [[nodiscard]] Status watch(Poll& poll, int fd, int events, const char* what);
  [[nodiscard]] Status start_signals();
  void set_events(Poll& poll, int events, uv_poll_cb callback);
  template <PollCallback callback>
  static void call(uv_poll_t* handle, int status, int events);

  void on_ptmx(int status, int events);
  void on_viewer(int status, int events);
  void on_notices(int status, int events);
  void on_status_process(int status, int events);
  void on_known_process(int status, int events);
  void on_continue(int status, int events);
  void on_signal(int signo);

  void read_output();
  void hung_up();
  void read_input();
  void viewer_has_gone(int err);
  void pump();
  void update_events();
  [[nodiscard]] PtsState pts_state() const;

  void perform(const action::WriteViewer& write);
  void perform(const action::WritePtmx& write);
  void perform(const action::SignalGroup& signal);
  void perform(const action::SetWindowSize& size);
  void perform(const action::AwaitRedraw& redraw);
  void perform(const action::SuspendViewer& suspend);
  void perform(const action::AwaitSlow& slow);
  // One viewer, which nobody sends away and which stops itself, needs no more to be done.
  void perform(const action::ViewerPaused& /*paused*/) {}
  void perform(const action::DetachViewer& /*detach*/) {}
  void perform(const action::EndViewer& /*end*/) {}
  void perform(const action::AwaitDetach& /*detach*/) {}
  void perform(const action::Ended& ended);

  [[nodiscard]] Status watch_next_process();
  [[nodiscard]] bool redraw_was_seen() const;
  [[nodiscard]] std::vector<pid_t> redraw_pgids() const;
  [[nodiscard]] const ProcessRef* find(pid_t pid) const;
  void retake_terminal();
  void give_up(Error error);

  const MovedTree& tree_;
  UniqueFd ptmx_;
  UniqueFd own_pts_;  // once nobody else had it open while a process that was moved lived
  bool moved_away_ = false;
  UniqueFd notices_;
  std::string notice_;  // a line that has not ended yet
  ViewerTerminal terminal_;
  Groups groups_;
  Core core_;
  ViewerId viewer_;

  ProcessRef status_process_;
  UniqueFd status_pidfd_;
  std::optional<int> wait_status_;
  UniqueFd known_pidfd_;   // one process that was moved and lives
  std::size_t known_ = 0;  // its index, or past the end

  bool done_ = false;
  std::optional<Error> error_;

  // The handles go before the loop, and both before the descriptors.
  ContinueWatch continues_;
  UvLoop loop_;
  Poll ptmx_poll_, viewer_poll_, notices_poll_, status_poll_, known_poll_, continue_poll_;
  UvHandle<uv_timer_t> redraw_deadline_, slow_deadline_;
  std::array<UvHandle<uv_signal_t>, 4> signals_;
};

}  // namespace grab::relay
