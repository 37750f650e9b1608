// SPDX-License-Identifier: MIT
// Traces a shell from one system call to the next: answers its waits for a job that has been
// moved, and withholds the hang-up that it would send to the job's group.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <set>
#include <vector>

#include "base/error.h"
#include "base/unique_fd.h"
#include "tracer/progress.h"
#include "tracer/ptrace.h"
#include "tracer/tell.h"

namespace grab::tracer {

class ShellFollower {
 public:
  ShellFollower(const Telling& telling, Progress& progress);

  /// Seizes every thread of the shell; from the guard of another grab, whose jobs become ours, too.
  /// Errors: kPermission, kGone.
  Status seize_all();
  /// Tells, with a SIGCHLD as a kick where the shell does not ask by itself, until all is told or
  /// `limit` has passed. Errors: kGone.
  Status tell(std::chrono::milliseconds limit);
  /// Follows the shell for as long as it has something left to ask or, if it is to be guarded, has
  /// not forgotten the job. Afterwards the process is to exit, which lets the shell go.
  void follow();
  /// Closes every descriptor but 0-2, the one that it needs itself, and `memory`, which is at
  /// kGuardMemory then.
  void close_other_descriptors(UniqueFd& memory);

 private:
  using Clock = std::chrono::steady_clock;
  enum class Event {
    kNone,   ///< only where one does not wait for it
    kStop,   ///< a stop, which has been handled
    kEnded,  ///< the shell has ended, or has become something else
  };

  Status seize_shell();
  Event next_event(Wait wait);
  Event handle(pid_t tid, const Stop& stop);
  void at_system_call(pid_t tid);
  void answer(pid_t tid, const arch::Registers& regs, const arch::WaitCall& wait);
  bool write_answer(const arch::WaitCall& wait, const Progress::Child& child) const;
  bool write(std::uint64_t address, const void* bytes, std::size_t size) const;
  void withhold(pid_t tid, const arch::Registers& regs);
  bool lead_out(pid_t tid, const arch::Registers& regs);
  void end_by_interrupt(pid_t tid, const arch::Registers& regs);
  void break_off_wait(pid_t tid);
  [[nodiscard]] static bool names(const arch::WaitCall& wait, pid_t child);
  [[nodiscard]] static bool asks_for(const arch::WaitCall& wait, const Progress::Child& child);
  [[nodiscard]] bool is_thread_of_shell(pid_t tid);
  [[nodiscard]] bool has_forgotten() const;
  [[nodiscard]] bool jobs_have_ended() const;
  void kick(Clock::time_point deadline);

  const Telling& telling_;
  Progress& progress_;
  UniqueFd mem_;
  std::set<pid_t> threads_;
  bool hung_up_ = false;       ///< it is about to end, and to hang up its jobs
  bool next_command_ = false;  ///< it has begun one
  bool at_prompt_ = false;     ///< it has waited for input since it was told
  bool waited_ = false;        ///< it was told when it waited for the job and did nothing else
  Clock::time_point last_stop_;
  Clock::time_point last_kick_;
  bool in_wait_ = false;     ///< it has not yet left its builtin `wait`
  int kicks_ = 0;            ///< how often it was sent a SIGCHLD
  bool is_waiting_ = false;  ///< its last stop was at the entry of a call that waits
};

}  // namespace grab::tracer
