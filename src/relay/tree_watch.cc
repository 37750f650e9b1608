// SPDX-License-Identifier: MIT
#include "relay/tree_watch.h"

#include <dirent.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "relay/pts.h"

namespace grab::relay {

// Of its descriptors 0-2.
static bool has_another_pts_open(pid_t pid, int ptmx) {
  constexpr unsigned kPtsMajor = 136;
  unsigned own = 0;
  (void)::ioctl(ptmx, TIOCGPTN, &own);
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    struct stat status {};
    const std::string path = "/proc/" + std::to_string(pid) + "/fd/" + std::to_string(fd);
    if (::stat(path.c_str(), &status) == 0 && major(status.st_rdev) == kPtsMajor &&
        minor(status.st_rdev) != own)
      return true;
  }
  return false;
}

Status TreeWatch::start(uv_loop_t* loop, std::function<void()> changed) {
  loop_ = loop;
  changed_ = std::move(changed);
  const ProcessRef* status_process = find(tree_.status_pid);
  status_process_ = status_process != nullptr ? *status_process : ProcessRef{tree_.status_pid, 0};
  GRAB_TRY(status_pidfd_, open_pidfd(status_process_));
  if (status_pidfd_.valid()) {
    GRAB_TRY(status_poll_, UvHandle<uv_poll_t>::open("watching the tree's root", this, loop_,
                                                     uv_poll_init, status_pidfd_.get()));
    GRAB_CHECK(
        uv_status(uv_poll_start(status_poll_.get(), UV_READABLE,
                                [](uv_poll_t* handle, int /*status*/, int /*events*/) {
                                  static_cast<TreeWatch*>(handle->data)->status_process_ended();
                                }),
                  "uv_poll_start"));
  }
  return watch_next_process();
}

void TreeWatch::stop() {
  status_poll_.reset();
  known_poll_.reset();
  look_again_timer_.reset();
  own_pts_.reset();
}

void TreeWatch::status_process_ended() {
  wait_status_ = wait_status(status_process_, status_pidfd_.get());
  status_poll_.reset();
  changed_();
}

void TreeWatch::known_process_ended() {
  known_poll_.reset();
  ++known_;
  (void)watch_next_process();  // unwatched, a hang-up of the ptmx still tells the end
  changed_();
}

// One process is watched at a time: that the last of them has ended is all that matters, and a
// thousand processes need no thousand descriptors.
Status TreeWatch::watch_next_process() {
  for (; known_ < tree_.processes.size(); ++known_) {
    GRAB_TRY(known_pidfd_, open_pidfd(tree_.processes[known_]));
    if (!known_pidfd_.valid() || has_ended(known_pidfd_.get()))
      continue;
    GRAB_TRY(known_poll_, UvHandle<uv_poll_t>::open("watching the tree's processes", this, loop_,
                                                    uv_poll_init, known_pidfd_.get()));
    return uv_status(uv_poll_start(known_poll_.get(), UV_READABLE,
                                   [](uv_poll_t* handle, int /*status*/, int /*events*/) {
                                     static_cast<TreeWatch*>(handle->data)->known_process_ended();
                                   }),
                     "uv_poll_start");
  }
  known_pidfd_.reset();
  own_pts_.reset();  // from now on the ptmx tells when the last descriptor is closed
  return {};
}

bool TreeWatch::has_ended_with_hangup() {
  bool alive = false;
  for (std::size_t i = known_; i < tree_.processes.size() && !alive; ++i) {
    const Result<UniqueFd> pidfd = open_pidfd(tree_.processes[i]);
    alive = pidfd && pidfd->valid() && !has_ended(pidfd->get());
  }
  moved_away_ = alive && root_is_elsewhere();
  if (alive && !moved_away_) {
    if (Result<UniqueFd> pts = open_pts(ptmx_)) {
      keep_pts_open(std::move(*pts));
      return false;
    }
  }
  return true;
}

// In exit(2) a process has no terminal any more; one that was moved has another. Where it was kept
// in its session it has none as controlling terminal, and its descriptors tell.
bool TreeWatch::root_is_elsewhere() const {
  if (!tree_.kernel_signals_job)
    return has_another_pts_open(tree_.status_pid, ptmx_);
  const auto root = read_stat(tree_.job_pgid);
  return root && root->terminal != 0 && root->terminal != pts_number(ptmx_);
}

// A grab that moves the tree away takes the last descriptor some time before root has its next
// terminal; and what is open here keeps the ptmx from telling.
void TreeWatch::keep_pts_open(UniqueFd pts) {
  own_pts_ = std::move(pts);
  next_look_ms_ = 10;
  if (!look_again_timer_.valid()) {
    auto timer = UvHandle<uv_timer_t>::open("uv_timer_init", this, loop_, uv_timer_init);
    if (!timer)
      return;
    look_again_timer_ = std::move(*timer);
  }
  look_again();
}

void TreeWatch::look_again() {
  constexpr std::uint64_t kLongestMs = 5000;
  if (!own_pts_.valid() || next_look_ms_ > kLongestMs)
    return;
  if (root_is_elsewhere()) {
    own_pts_.reset();  // the ptmx hangs up
    changed_();
    return;
  }
  (void)uv_timer_start(
      look_again_timer_.get(),
      [](uv_timer_t* handle) { static_cast<TreeWatch*>(handle->data)->look_again(); },
      next_look_ms_, 0);
  next_look_ms_ *= 2;
}

TreeEnd TreeWatch::end() {
  // The process may have been a zombie that hid its status, and have been reaped since.
  if (!wait_status_ && status_pidfd_.valid() && has_ended(status_pidfd_.get()))
    wait_status_ = wait_status(status_process_, status_pidfd_.get());
  return {wait_status_, moved_away_};
}

const ProcessRef* TreeWatch::find(pid_t pid) const {
  for (const ProcessRef& process : tree_.processes) {
    if (process.pid == pid)
      return &process;
  }
  return nullptr;
}

std::vector<pid_t> TreeWatch::redraw_pgids() const {
  std::vector<pid_t> alive;
  for (const pid_t pid : tree_.redraw_pids) {
    const ProcessRef* process = find(pid);
    const auto stat = read_stat(pid);
    if (stat && (process == nullptr || process->start_time == stat->start_time))
      alive.push_back(pid);
  }
  return groups_of(alive);
}

// Kernel: a SIGWINCH that is pending is not queued twice, and programs ask for the size only when
// they get to it, and compare: two changes in a row may look like none. So the size is changed back
// only when each program has taken the signal and is blocked again. Source: signal(7); seen.
bool TreeWatch::redraw_was_seen() const {
  std::vector<pid_t> pids = tree_.redraw_pids;
  if (pids.empty())
    pids.push_back(foreground_pgid(ptmx_));  // its leader
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

void TreeWatch::signal_others(const std::vector<pid_t>& signalled_pgids, int signo) const {
  std::map<pid_t, ProcStat> all;
  const std::unique_ptr<DIR, int (*)(DIR*)> proc(::opendir("/proc"), ::closedir);
  while (const dirent* entry = proc ? ::readdir(proc.get()) : nullptr) {
    const auto pid = static_cast<pid_t>(std::strtol(entry->d_name, nullptr, 10));
    if (const auto stat = pid > 0 ? read_stat(pid) : std::nullopt)
      all[pid] = *stat;
  }
  std::set<pid_t> members;
  for (const ProcessRef& process : tree_.processes) {
    const auto found = all.find(process.pid);
    if (found != all.end() && found->second.start_time == process.start_time)
      members.insert(process.pid);
  }
  const unsigned terminal = pts_number(ptmx_);
  for (std::size_t before = members.size() + 1; before != members.size();) {
    before = members.size();
    for (const auto& [pid, stat] : all) {
      if (members.count(stat.ppid) != 0 || (terminal != 0 && stat.terminal == terminal))
        members.insert(pid);
    }
  }
  for (const pid_t pid : members) {
    const pid_t pgid = all[pid].pgid;
    if (std::find(signalled_pgids.begin(), signalled_pgids.end(), pgid) == signalled_pgids.end())
      (void)::kill(pid, signo);
  }
}

}  // namespace grab::relay
