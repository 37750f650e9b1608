// SPDX-License-Identifier: MIT
#include "relay/tree_watch.h"

#include <dirent.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "relay/pts.h"

namespace grab::relay {
namespace {

std::map<pid_t, ProcStat> all_processes() {
  std::map<pid_t, ProcStat> all;
  const std::unique_ptr<DIR, int (*)(DIR*)> proc(::opendir("/proc"), ::closedir);
  while (const dirent* entry = proc ? ::readdir(proc.get()) : nullptr) {
    const auto pid = static_cast<pid_t>(std::strtol(entry->d_name, nullptr, 10));
    if (const auto stat = pid > 0 ? read_stat(pid) : std::nullopt)
      all[pid] = *stat;
  }
  return all;
}

// Those of them that live, and the descendants of their main threads.
std::vector<pid_t> with_descendants(const std::vector<ProcessRef>& processes) {
  std::vector<pid_t> pids;
  std::set<pid_t> found;
  for (const ProcessRef& process : processes) {
    const auto stat = read_stat(process.pid);
    if (stat && stat->start_time == process.start_time && found.insert(process.pid).second)
      pids.push_back(process.pid);
  }
  for (std::size_t i = 0; i < pids.size(); ++i) {
    const std::string number = std::to_string(pids[i]);
    std::ifstream children("/proc/" + number + "/task/" + number + "/children");
    for (pid_t child = 0; children >> child;) {
      if (found.insert(child).second)
        pids.push_back(child);
    }
  }
  return pids;
}

// Or stands still for a tracer.
bool is_stopped(const ProcStat& stat) {
  return stat.state == 'T' || stat.state == 't';
}

// Before a process that was sent SIGSTOP has left its read(2), it can still get what is typed.
void await_stop(pid_t pid) {
  constexpr int kPatienceMs = 2000;  // a busy machine takes hundreds; its line would be lost
  for (int i = 0; i < kPatienceMs; ++i) {
    const auto stat = read_stat(pid);
    if (!stat || is_stopped(*stat))
      return;
    (void)::poll(nullptr, 0, 1);
  }
}

}  // namespace

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

bool TreeWatch::was_moved(pid_t pid) const {
  const ProcessRef* process = find(pid);
  const auto stat = process != nullptr ? read_stat(pid) : std::nullopt;
  return stat && stat->start_time == process->start_time;
}

// Kernel: a stop signal is discarded where its action is the default and the group is orphaned, as
// the jobs of a shell are that has made a session of its own -> SIGSTOP, for those who do not catch
// it. Source: kernel/signal.c get_signal(), kernel/exit.c will_become_orphaned_pgrp().
bool TreeWatch::signal_front(pid_t pgid, int signo) const {
  std::map<pid_t, ProcStat> members;
  bool ours = false, orphaned = true;
  for (const auto& [pid, stat] : all_processes()) {
    if (stat.pgid != pgid)
      continue;
    members[pid] = stat;
    ours = ours || was_moved(pid) || was_moved(stat.ppid);
    orphaned = orphaned && (::getpgid(stat.ppid) == pgid || ::getsid(stat.ppid) != ::getsid(pid));
  }
  if (!ours)
    return false;
  if ((signo != SIGTSTP && signo != SIGTTIN) || !orphaned)
    return ::kill(-pgid, signo) == 0;
  for (const auto& [pid, stat] : members) {
    const auto signals = read_signals(pid);
    if (signals && !ProcSignals::has(signals->ignored, signo))
      (void)::kill(pid, ProcSignals::has(signals->caught, signo) ? signo : SIGSTOP);
  }
  return true;
}

bool TreeWatch::reads_pts(pid_t pid) const {
  const auto fd = reads_from(pid);
  return fd && is_pts_of(ptmx_, device_of(pid, *fd));
}

// Kernel: it looks at foreground and background only where a process reads its controlling
// terminal. Source: drivers/tty/n_tty.c job_control(). A program that polls is found by nobody.
void TreeWatch::stop_background_readers(const std::vector<pid_t>& front_pgids) const {
  for (const pid_t pid : with_descendants(tree_.processes)) {
    const auto stat = read_stat(pid);
    if (!stat || is_stopped(*stat) || stat->terminal != 0 || !reads_pts(pid) ||
        std::find(front_pgids.begin(), front_pgids.end(), stat->pgid) != front_pgids.end() ||
        !signal_front(stat->pgid, SIGTTIN))
      continue;
    if (const auto signals = read_signals(pid);
        signals && !ProcSignals::has(signals->ignored | signals->caught, SIGTTIN))
      await_stop(pid);
  }
}

void TreeWatch::signal_others(const std::vector<pid_t>& signalled_pgids, int signo) const {
  std::map<pid_t, ProcStat> all = all_processes();
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
