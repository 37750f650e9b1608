// SPDX-License-Identifier: MIT
// The threads of a tree under trace: seized while they run, then stopped, all of them, with nothing
// born meanwhile left out. One tracer thread owns all of them; when it ends, the kernel lets every
// one go.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <map>
#include <set>
#include <vector>

#include "base/error.h"
#include "proc/tree_reader.h"
#include "tracer/begun_waits.h"
#include "tracer/ptrace.h"

namespace grab::tracer {

using Clock = std::chrono::steady_clock;

class Tracees {
 public:
  /// `leave_denied`: members that may not be traced are left alone, and are no error.
  explicit Tracees(proc::TreeReader& reader, bool leave_denied = false);
  ~Tracees();
  Tracees(const Tracees&) = delete;
  Tracees& operator=(const Tracees&) = delete;
  Tracees(Tracees&&) = delete;
  Tracees& operator=(Tracees&&) = delete;

  /// Seizes every thread of every member. They run on. Errors: kPermission, naming the thread;
  /// kTimeout.
  [[nodiscard]] Status seize_all(Clock::time_point deadline);

  /// Asks each of `pids` (seized, running) to leave the screen: sends SIGTSTP and lets them run
  /// until they try to stop themselves, which they do not get to do: no parent sees a stop. Those
  /// that did stay where they are. When `limit` has passed the others are left as they are, unless
  /// one of them runs, or waits for a processor: it gets three times as long. Returns those that
  /// tried.
  [[nodiscard]] std::set<pid_t> leave_screen(const std::vector<pid_t>& pids,
                                             std::chrono::milliseconds limit);

  /// Stops every thread of every member in a stop from which it can be made to do something;
  /// `servers` (pids), for which others wait in their calls, only when those others stand.
  /// Errors: kTimeout, naming the process that did not stop and its state; kPermission.
  [[nodiscard]] Status stop_all(Clock::time_point deadline, std::set<pid_t> servers);

  /// Lets what is stopped run on, still seized, as it would have; stop_all() can follow.
  void thaw();

  /// Lets the seized threads run on for a moment, passing on what they get, until `done` says so or
  /// the deadline.
  void serve(const std::function<bool()>& done, Clock::time_point deadline);

  /// The stopped threads of each process, the main thread first if it lives.
  [[nodiscard]] std::map<pid_t, std::vector<pid_t>> by_process() const;
  /// Gives the stopped processes the state that they would be in without us: 'T' for those that are
  /// stopped by a signal, too, but for those that we have sent it.
  void tell_stopped_from_running(proc::Snapshot& snapshot, const std::vector<pid_t>& by_us) const;
  /// Forgets a thread that someone else has detached.
  void forget(pid_t tid) { threads_.erase(tid); }
  /// Detaches all that are stopped; each then goes on as it would have.
  void detach_all();
  [[nodiscard]] Clock::time_point first_interrupt() const { return first_interrupt_; }

 private:
  enum class State {
    kRunning,
    kStopped,     ///< in an event stop of ours or a group-stop
    kVforkChild,  ///< runs on until it has called execve or ended, for its parent waits for that
  };
  struct Thread {
    pid_t pid = 0;  ///< thread group; 0 while not known
    State state = State::kRunning;
    bool group_stopped = false;  ///< its last stop was a group-stop
    bool asked = false;          ///< an interrupt is under way
    bool screen_left = false;    ///< tried to stop itself for leave_screen()
  };

  [[nodiscard]] Status stop_but_spared(Clock::time_point deadline);
  [[nodiscard]] bool is_spared(pid_t tid, const Thread& thread) const;
  [[nodiscard]] bool is_to_stop(pid_t tid, const Thread& thread) const;
  [[nodiscard]] Result<bool> seize_new(Clock::time_point deadline);
  [[nodiscard]] Status seize_from_guard(pid_t tid, Clock::time_point deadline);
  [[nodiscard]] bool collect();
  [[nodiscard]] Status settle(Clock::time_point deadline);
  [[nodiscard]] bool settled() const;
  void handle(pid_t tid, const Stop& stop);
  void handle_signal(pid_t tid, Thread& thread, int signo);
  void handle_birth(pid_t tid, const Stop& stop);
  void nudge(pid_t tid, Thread& thread, int signo);
  void drop_vanished();
  void release_vfork_children();
  void look_who_waits();
  void wait_for_stop(Clock::time_point until);
  [[nodiscard]] Error not_stopping() const;

  proc::TreeReader& reader_;
  bool leave_denied_;
  std::map<pid_t, Thread> threads_;  // by tid
  std::set<pid_t> vfork_children_;   // announced, not yet seen to exec or end
  std::set<pid_t> leaving_screen_;   // pids asked to
  BegunWaits waits_;
  Clock::duration guard_patience_;  // what is left of the time that guards get to give way
  bool freezing_ = false;
  std::set<pid_t> spared_;  // pids, and tids that they have started: not to be stopped yet
  Clock::time_point first_interrupt_{};
};

}  // namespace grab::tracer
