// SPDX-License-Identifier: MIT
// The processes of a tree as the relay follows them: which are alive, how the one ended whose
// status is the tree's, which have to draw their screen again.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "base/error.h"
#include "base/unique_fd.h"
#include "relay/groups.h"
#include "relay/proc_info.h"
#include "relay/relay.h"
#include "relay/uv_handle.h"

namespace grab::relay {

class TreeWatch {
 public:
  /// Both must outlive it. `ptmx`: of the pts that the tree is on; borrowed.
  TreeWatch(const MovedTree& tree, int ptmx) : tree_(tree), ptmx_(ptmx), groups_(tree) {}

  /// Watches on this loop until stop() or destroyed; `changed` is called after a process has ended.
  [[nodiscard]] Status start(uv_loop_t* loop, std::function<void()> changed);
  void stop();

  /// The ptmx has hung up: nobody has the pts open. Whether the tree has ended with that; if not,
  /// the pts is kept open here as long as processes live that were moved, since they may open it
  /// again.
  [[nodiscard]] bool has_ended_with_hangup();
  /// How it ended, as far as is known now.
  [[nodiscard]] TreeEnd end();

  /// Groups of the full-screen programs that were moved and live.
  [[nodiscard]] std::vector<pid_t> redraw_pgids() const;
  /// Every program that is to draw its screen again has seen the change of size.
  [[nodiscard]] bool redraw_was_seen() const;

  /// Signals one of the tree's groups.
  void signal_group(pid_t pgid, int signo) { groups_.signal(pgid, signo); }
  /// Signals a group that a shell of the tree has put in front, if one of it, or the parent of one,
  /// was moved. SIGTSTP and SIGTTIN stop, too, where the group is orphaned. Whether it did.
  bool signal_front(pid_t pgid, int signo) const;
  /// Stops whatever was moved, has no controlling terminal and waits in a read(2) of the pts
  /// without being of one of these groups, as the kernel stops who reads in the background. Returns
  /// when it has stopped, or will not soon.
  void stop_background_readers(const std::vector<pid_t>& front_pgids) const;
  /// Signals every process of the tree, but for those of the groups named: all that were moved, and
  /// whatever has been started by them or on the pts since.
  void signal_others(const std::vector<pid_t>& signalled_pgids, int signo) const;

 private:
  [[nodiscard]] const ProcessRef* find(pid_t pid) const;
  [[nodiscard]] bool was_moved(pid_t pid) const;
  [[nodiscard]] bool reads_pts(pid_t pid) const;
  [[nodiscard]] Status watch_next_process();
  [[nodiscard]] bool root_is_elsewhere() const;
  void keep_pts_open(UniqueFd pts);
  void look_again();
  void status_process_ended();
  void known_process_ended();

  const MovedTree& tree_;
  const int ptmx_;
  Groups groups_;
  uv_loop_t* loop_ = nullptr;
  std::function<void()> changed_;

  UniqueFd own_pts_;  // once nobody else had it open while a process that was moved lived
  UvHandle<uv_timer_t> look_again_timer_;  // while own_pts_ is young
  std::uint64_t next_look_ms_ = 0;
  bool moved_away_ = false;
  ProcessRef status_process_;
  UniqueFd status_pidfd_;
  std::optional<int> wait_status_;
  UniqueFd known_pidfd_;   // one process that was moved and lives
  std::size_t known_ = 0;  // its index, or past the end
  UvHandle<uv_poll_t> status_poll_, known_poll_;
};

}  // namespace grab::relay
