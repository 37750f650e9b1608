// SPDX-License-Identifier: MIT
#include "tracer/tracees.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <string>
#include <utility>

#include "base/text.h"
#include "proc/kernel.h"
#include "proc/surroundings.h"
#include "tracer/guards.h"
#include "tracer/interrupted_call.h"

namespace grab::tracer {
namespace {

bool is_job_stop(int signo) {
  return signo == SIGTSTP || signo == SIGSTOP || signo == SIGTTIN || signo == SIGTTOU;
}

}  // namespace

Tracees::Tracees(proc::TreeReader& reader, bool leave_denied)
    : reader_(reader), leave_denied_(leave_denied), guard_patience_(kGuardAside) {
  // Every stop of a tracee raises SIGCHLD; blocked, it can be waited for with a deadline.
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  sigprocmask(SIG_BLOCK, &set, nullptr);
}

Tracees::~Tracees() {
  detach_all();
}

/// A guard of an earlier move that has given way may have come back where that took long. For one
/// that stays the tree does not stand still again and again, once for each thread.
Status Tracees::seize_from_guard(pid_t tid, Clock::time_point deadline) {
  const Status seized = seize(tid);
  if (seized || proc::tracer_of(tid) == 0)
    return seized;
  const auto begun = Clock::now();
  const auto limit = std::min<Clock::duration>(guard_patience_, deadline - begun);
  (void)have_guard_give_way(tid, std::chrono::duration_cast<std::chrono::milliseconds>(limit));
  guard_patience_ -= Clock::now() - begun;
  return seize(tid);
}

/// Whether there was a thread that had to be seized. Those born under trace are no reason to look
/// again: so are all that they start, and stop_all() waits for each.
Result<bool> Tracees::seize_new(Clock::time_point deadline) {
  GRAB_TRY(const auto members, reader_.scan());
  bool found = false;
  for (const auto& member : members) {
    for (const pid_t tid : member.tids) {
      if (const auto known = threads_.find(tid); known != threads_.end()) {
        known->second.pid = member.pid;
        continue;
      }
      if (const Status seized = seize_from_guard(tid, deadline); !seized) {
        // Kernel: SEIZE of a thread that has ended, or of a zombie, is refused like one that is not
        // allowed -> the next scan tells which it was. Source: kernel/ptrace.c ptrace_attach; seen.
        const std::optional<proc::Stat> stat = proc::stat_of(tid);
        if (!stat || stat->state == 'Z' || stat->state == 'X' || proc::is_exiting(*stat))
          continue;
        if (proc::tracer_of(tid) ==
            getpid()) {  // born under trace; its first stop is not yet collected
          threads_[tid].pid = member.pid;
          continue;
        }
        if (leave_denied_ && seized.error().kind == ErrorKind::kPermission)
          continue;
        Error error = seized.error();
        error.what =
            "cannot trace " + std::to_string(member.pid) + " (" + printable(stat->comm) + ")";
        error.hint = "run grab as root";
        if (const pid_t other = proc::tracer_of(tid); other != 0) {
          error.what += ": it is already traced by " + std::to_string(other);
          error.hint = "end that tracer first, or let it detach";
        }
        return tl::unexpected(std::move(error));
      }
      threads_[tid] = Thread{.pid = member.pid};
      found = true;
    }
  }
  return found;
}

Status Tracees::seize_all(Clock::time_point deadline) {
  for (;;) {
    GRAB_TRY(const bool found, seize_new(deadline));
    (void)collect();
    if (!found)
      return {};
    if (Clock::now() > deadline) {
      return fail(ErrorKind::kTimeout, "the tree starts processes faster than they can be seized",
                  "try again, or give it longer with --timeout");
    }
  }
}

void Tracees::wait_for_stop(Clock::time_point until) {
  using std::chrono::duration_cast, std::chrono::nanoseconds;
  // A vfork child is looked for from time to time, so a wait is never long.
  constexpr auto kLongest = std::chrono::milliseconds(5);
  const auto left = std::min<nanoseconds>(until - Clock::now(), kLongest);
  if (left <= nanoseconds::zero())
    return;
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  const timespec limit{0, static_cast<long>(left.count())};
  (void)sigtimedwait(&set, nullptr, &limit);
}

/// Handles every stop there is; whether there was one.
bool Tracees::collect() {
  bool any = false;
  while (const auto stopped = next_stop(0)) {
    any = true;
    handle(stopped->tid, stopped->stop);
  }
  return any;
}

void Tracees::handle(pid_t tid, const Stop& stop) {
  if (stop.kind() == StopKind::kEnded) {
    threads_.erase(tid);
    vfork_children_.erase(tid);
    return;
  }
  Thread& thread =
      threads_[tid];  // a thread born under trace is first seen here or announced, in either order
  switch (stop.kind()) {
    case StopKind::kInterrupted:
    case StopKind::kGroupStop:
      hide_interruption(tid, waits_);
      thread.asked = false;
      thread.group_stopped = stop.kind() == StopKind::kGroupStop;
      if (vfork_children_.count(tid) != 0) {
        thread.state = State::kVforkChild;
        (void)resume(tid);
      } else if (is_to_stop(tid, thread)) {
        thread.state = State::kStopped;
      } else if (stop.kind() == StopKind::kGroupStop) {
        (void)listen(tid);
      } else {
        (void)resume(tid);
      }
      return;
    case StopKind::kSignalDelivery:
      // Kernel: a tracee is woken by signals that it ignores, too. Source: kernel/signal.c
      // sig_ignored.
      hide_interruption(tid, waits_);
      handle_signal(tid, thread, stop.signo());
      return;
    case StopKind::kFork:
    case StopKind::kVfork:
    case StopKind::kClone:
      handle_birth(tid, stop);
      return;
    case StopKind::kExec:
      vfork_children_.erase(tid);
      reader_.forget(thread.pid != 0 ? thread.pid : tid);
      nudge(tid, thread, 0);
      return;
    default:
      nudge(tid, thread, 0);
      return;
  }
}

/// Lets a thread leave a stop from which no batch can be run, and asks for another if it is to be
/// stopped.
// Kernel: any stop clears an interrupt that is pending; one asked for while stopped is kept for the
// next return to user mode. Source: kernel/signal.c ptrace_stop; ptrace(2) PTRACE_INTERRUPT; seen.
void Tracees::nudge(pid_t tid, Thread& thread, int signo) {
  const bool vfork_child = vfork_children_.count(tid) != 0;
  thread.state = vfork_child ? State::kVforkChild : State::kRunning;
  if (is_to_stop(tid, thread) && !vfork_child) {
    (void)interrupt(tid);
    thread.asked = true;
  }
  (void)resume(tid, signo);
}

void Tracees::handle_signal(pid_t tid, Thread& thread, int signo) {
  if (!leaving_screen_.empty() && is_job_stop(signo)) {
    const Result<siginfo_t> info = get_signal_info(tid);
    const bool from_tree = info && info->si_pid != getpid() &&
                           std::any_of(threads_.begin(), threads_.end(), [&](const auto& entry) {
                             return entry.second.pid == info->si_pid;
                           });
    if (from_tree) {  // a full-screen program, its screen left, stops itself or its group
      thread.screen_left = leaving_screen_.count(thread.pid) != 0;
      nudge(tid, thread, 0);
      return;
    }
  }
  nudge(tid, thread, signo);
}

void Tracees::handle_birth(pid_t tid, const Stop& stop) {
  const Result<pid_t> born = get_event_pid(tid);
  if (born) {
    Thread& thread = threads_[*born];  // the next scan tells whose it is
    if (is_spared(tid, threads_[tid]))
      spared_.insert(*born);
    // Kernel: the parent of a vfork does not stop before the child has called execve or ended, and
    // the child lives in the parent's memory -> the child must run on, with nothing done in it.
    // Source: kernel/fork.c; seen.
    if (stop.kind() == StopKind::kVfork) {
      vfork_children_.insert(*born);
      if (thread.state == State::kStopped) {
        thread.state = State::kVforkChild;
        (void)resume(*born);
      }
    }
  }
  nudge(tid, threads_[tid], 0);
}

void Tracees::serve(const std::function<bool()>& done, Clock::time_point deadline) {
  while (!done() && Clock::now() < deadline) {
    if (!collect())
      wait_for_stop(deadline);
  }
}

std::set<pid_t> Tracees::leave_screen(const std::vector<pid_t>& pids,
                                      std::chrono::milliseconds limit) {
  constexpr std::chrono::milliseconds kBetweenLooks{20};
  const auto begun = Clock::now();
  leaving_screen_.insert(pids.begin(), pids.end());
  for (const pid_t pid : pids)
    (void)kill(pid, SIGTSTP);
  const auto left = [&] {
    std::set<pid_t> done;
    for (const auto& [tid, thread] : threads_) {
      if (thread.screen_left)
        done.insert(thread.pid);
    }
    return done;
  };
  const auto awaited = [&] {
    const std::set<pid_t> done = left();
    std::vector<pid_t> others;
    std::copy_if(pids.begin(), pids.end(), std::back_inserter(others), [&](pid_t pid) {
      return done.count(pid) == 0 && threads_.find(pid) != threads_.end();
    });
    return others;
  };
  const auto runs = [](pid_t pid) {
    const auto stat = proc::stat_of(pid);
    return stat && stat->state == 'R';
  };
  const auto is_done = [&] { return awaited().empty(); };
  serve(is_done, begun + limit);
  while (Clock::now() < begun + 3 * limit) {
    const std::vector<pid_t> others = awaited();
    if (std::none_of(others.begin(), others.end(), runs))
      break;
    serve(is_done, Clock::now() + kBetweenLooks);
  }
  return left();
}

bool Tracees::is_spared(pid_t tid, const Thread& thread) const {
  return spared_.count(tid) != 0 || spared_.count(thread.pid) != 0;
}

bool Tracees::is_to_stop(pid_t tid, const Thread& thread) const {
  return thread.screen_left || (freezing_ && !is_spared(tid, thread));
}

/// All stand, but for those that are spared.
bool Tracees::settled() const {
  return std::all_of(threads_.begin(), threads_.end(), [this](const auto& entry) {
    return entry.second.state == State::kStopped || is_spared(entry.first, entry.second);
  });
}

/// Forgets threads that are not ours any more: one whose birth is announced after its end was
/// collected stays a zombie until its parent, which is stopped, reaps it.
void Tracees::drop_vanished() {
  std::erase_if(threads_, [](const auto& entry) {
    return entry.second.state != State::kStopped && proc::tracer_of(entry.first) != getpid();
  });
}

/// Lets go of children of a vfork that began before the tree was seized: their parents wait for
/// them in state D.
void Tracees::release_vfork_children() {
  for (auto& [tid, thread] : threads_) {
    if (thread.state != State::kRunning)
      continue;
    const std::optional<proc::Stat> stat = proc::stat_of(tid);
    if (!stat || stat->state != 'D')
      continue;
    for (auto& [child, candidate] : threads_) {
      if (candidate.state != State::kStopped || candidate.pid == thread.pid ||
          child != candidate.pid)
        continue;
      const std::optional<proc::Stat> child_stat = proc::stat_of(child);
      if (!child_stat || child_stat->ppid != thread.pid ||
          !proc::same_address_space(child, thread.pid))
        continue;
      vfork_children_.insert(child);
      candidate.state = State::kVforkChild;
      (void)resume(child);
    }
  }
}

Error Tracees::not_stopping() const {
  for (const auto& [tid, thread] : threads_) {
    if (thread.state == State::kStopped || is_spared(tid, thread))
      continue;
    const std::optional<proc::Stat> stat = proc::stat_of(tid);
    if (!stat)
      continue;
    const std::string name = std::to_string(tid) + " (" + printable(stat->comm) + ")";
    if (thread.state == State::kVforkChild) {
      return Error{ErrorKind::kTimeout, 0,
                   name + " is the child of a vfork that does not end, so its parent " +
                       std::to_string(stat->ppid) + " cannot be stopped",
                   "wait until it has called execve, or give it longer with --timeout"};
    }
    return Error{ErrorKind::kTimeout, 0,
                 name + " did not stop in time (its state is " + std::string(1, stat->state) +
                     (stat->state == 'D' ? ": it waits for a device or a file system)" : ")"),
                 "try again when it has got on, or give it longer with --timeout"};
  }
  return Error{ErrorKind::kTimeout, 0, "the tree did not stop in time", "try again"};
}

/// Waits until every thread that is not spared is stopped.
Status Tracees::settle(Clock::time_point deadline) {
  // In the order of the interrupts: most have stopped by the time the last was sent, and waitpid(2)
  // of one tid is cheap where that of any has to look at all.
  std::vector<pid_t> running;
  for (const auto& [tid, thread] : threads_) {
    if (thread.state == State::kRunning)
      running.push_back(tid);
  }
  for (const pid_t tid : running) {
    if (const auto stopped = next_stop(tid))
      handle(tid, stopped->stop);
  }
  while (!settled()) {
    if (collect())
      continue;
    drop_vanished();
    release_vfork_children();
    if (settled())
      break;
    if (Clock::now() > deadline)
      return tl::unexpected(not_stopping());
    wait_for_stop(deadline);
  }
  return {};
}

void Tracees::look_who_waits() {
  std::vector<pid_t> tids;
  for (const auto& [tid, thread] : threads_)
    tids.push_back(tid);
  waits_.look(tids);
}

// Kernel: a call that waits for a FUSE server does not end for PTRACE_INTERRUPT, but when the
// server has answered -> a server that stands is waited for in vain. Source: fs/fuse/dev.c
// request_wait_answer(); seen.
Status Tracees::stop_all(Clock::time_point deadline, std::set<pid_t> servers) {
  look_who_waits();
  freezing_ = true;
  first_interrupt_ = Clock::now();
  spared_ = std::move(servers);
  if (!spared_.empty())
    GRAB_CHECK(stop_but_spared(deadline));
  spared_.clear();
  return stop_but_spared(deadline);
}

Status Tracees::stop_but_spared(Clock::time_point deadline) {
  for (;;) {
    for (auto& [tid, thread] : threads_) {
      if (thread.state != State::kRunning || thread.asked || is_spared(tid, thread))
        continue;
      waits_.note(tid);
      if (interrupt(tid))
        thread.asked = true;
    }
    GRAB_CHECK(settle(deadline));
    // Nothing runs any more (but servers, the first time), so the children that /proc lists now are
    // all there are.
    GRAB_TRY(const bool found, seize_new(deadline));
    if (!found && settled())
      return {};
    if (Clock::now() > deadline)
      return tl::unexpected(not_stopping());
  }
}

std::map<pid_t, std::vector<pid_t>> Tracees::by_process() const {
  std::map<pid_t, std::vector<pid_t>> processes;
  for (const auto& [tid, thread] : threads_) {
    if (thread.pid == 0 || thread.state != State::kStopped)
      continue;
    std::vector<pid_t>& tids = processes[thread.pid];
    tids.insert(tid == thread.pid ? tids.begin() : tids.end(), tid);
  }
  return processes;
}

// Kernel: all show as 't' now; a tracee's stop tells whether it is stopped by a signal, too. A job
// in the background that reads its terminal may have become so since the first look, and one that
// was continued not be so any more. Source: ptrace(2) "Group-stop"; seen.
void Tracees::tell_stopped_from_running(proc::Snapshot& snapshot,
                                        const std::vector<pid_t>& by_us) const {
  std::map<pid_t, bool> by_signal;
  for (const auto& [tid, thread] : threads_) {
    if (thread.state == State::kStopped)
      by_signal[thread.pid] |= thread.group_stopped && !proc::contains(by_us, thread.pid);
  }
  for (proc::Process& process : snapshot.processes) {
    const auto found = by_signal.find(process.stat.pid);
    if (found == by_signal.end()) {
      if (gives_way(process.tracer_comm))
        process.tracer_comm.clear();  // it has not: a tracer like any other
      continue;
    }
    if (found->second)
      process.stat.state = 'T';
    else if (process.stat.state == 'T')
      process.stat.state = 'S';
  }
}

void Tracees::detach_all() {
  for (const auto& [tid, thread] : threads_) {
    if (thread.state != State::kStopped)
      continue;
    (void)detach(tid);
  }
  threads_.clear();
  freezing_ = false;
}

void Tracees::thaw() {
  freezing_ = false;
  for (auto& [tid, thread] : threads_) {
    if (thread.state != State::kStopped || thread.screen_left)
      continue;
    thread.state = State::kRunning;
    (void)(thread.group_stopped ? listen(tid) : resume(tid));
  }
}

}  // namespace grab::tracer
