// SPDX-License-Identifier: MIT
// Guards the interactive shells of a tree that was moved: traces each of them, so that its `fg`
// brings jobs of before the move to the front though the kernel, which has them in another session,
// refuses; and says in shared memory (base/front.h) which job that is, for the relay to signal it.
#pragma once

#include <sys/types.h>

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/front.h"
#include "base/unique_fd.h"
#include "proc/snapshot.h"
#include "tracer/batch_run.h"
#include "tracer/guarding.h"
#include "tracer/ptrace.h"

namespace grab::tracer {

/// Starts a guard in a process of its own, called grab-jobs, which keeps nothing open but `front`,
/// and is started again when it is killed. It seizes the shells, which are on the pts of `ptmx` by
/// now and wait for it where the caller has handed them over (BatchRun::hand_over(), of `runs`):
/// nothing that they ask the kernel between the two is refused. It ends when there is nothing left
/// to guard; the shells then go on untraced. Without it they go on too, but the kernel's refusals
/// reach them.
void start_job_guard(const Guarding& guarding, int front, int ptmx,
                     const std::vector<BatchRun>& runs);

class JobGuard {
 public:
  /// `terminal`: the pts that the tree was moved to. Both must outlive it.
  /// `runs`: of those of the shells that are handed over.
  JobGuard(const Guarding& guarding, Front& front, dev_t terminal, std::vector<BatchRun>&& runs)
      : guarding_(guarding), front_(front), terminal_(terminal), runs_(std::move(runs)) {}

  void run();

 private:
  struct Tracee {
    bool is_shell = false;
    bool lacks_terminal = false;
    bool stops_itself = false;
    /// Of a job that is in the background since its shell has continued it: how many entries and
    /// exits of calls it is watched for still, and whether it has made one.
    int watched_calls = 0;
    bool has_gone_on = false;
    UniqueFd mem;
  };

  struct Wanted {
    Guarding::Process process;
    bool is_shell = false;
    bool lacks_terminal = false;
  };
  enum class Seized { kYes, kNotYet, kNever };

  void seize_all();
  [[nodiscard]] Seized seize_one(const Wanted& wanted);
  [[nodiscard]] bool serve(Wait wait);
  bool adopt(pid_t tid);
  void take_over(pid_t tid);
  void at_stop(pid_t tid, const Stop& stop);
  void deliver(pid_t tid, const Tracee& tracee, int signo) const;
  /// Whether it is a tracee still.
  [[nodiscard]] bool at_system_call(pid_t tid, Tracee& tracee);
  [[nodiscard]] bool is_in_front(pid_t pgid) const;
  void watch_continued(pid_t killed);
  void stop_in_background(pid_t tid, const arch::Registers& regs) const;
  void set_front(pid_t tid, const Tracee& tracee, const arch::Registers& regs, pid_t pgid);
  void tell_front(pid_t tid, const Tracee& tracee, const arch::Registers& regs,
                  std::uint64_t address) const;
  [[nodiscard]] pid_t usual_front() const;
  [[nodiscard]] bool is_needed() const;
  void resume_it(pid_t tid, const Tracee& tracee, int signo = 0) const;

  const Guarding& guarding_;
  Front& front_;
  const dev_t terminal_;
  std::vector<BatchRun> runs_;  // not taken over yet
  std::map<pid_t, Tracee> tracees_;
};

}  // namespace grab::tracer
