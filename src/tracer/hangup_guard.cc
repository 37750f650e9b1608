// SPDX-License-Identifier: MIT
#include "tracer/hangup_guard.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <cerrno>

#include "tracer/ptrace.h"

namespace grab::tracer {
namespace {

class Guard {
 public:
  Guard(pid_t shell, pid_t pgid) : shell_(shell), pgid_(pgid) {}

  void run() {
    if (!seize(shell_))
      return;
    for (;;) {
      int status = 0;
      const pid_t tid = waitpid(-1, &status, __WALL);
      if (tid < 0 && errno == EINTR)
        continue;
      if (tid < 0)
        return;
      const Stop stop(status);
      if (tid != shell_)
        (void)detach(tid);  // its next command, born under trace
      else if (!handle(stop))
        return;
    }
  }

 private:
  /// False when there is nothing left to guard.
  bool handle(const Stop& stop) {
    switch (stop.kind()) {
      case StopKind::kEnded:
        return false;
      case StopKind::kGroupStop:
        return listen(shell_).has_value();
      case StopKind::kSignalDelivery:
        hung_up_ = hung_up_ || stop.signo() == SIGHUP;
        return go_on(stop.signo());
      case StopKind::kSystemCall:
        withhold_signal();
        return go_on(0);
      case StopKind::kFork:
      case StopKind::kVfork:
      case StopKind::kClone:
        if (hung_up_)
          return go_on(0);
        (void)detach(shell_);
        release_newborn();
        return false;
      case StopKind::kExec:
        (void)detach(shell_);
        return false;
      default:
        return go_on(0);
    }
  }

  bool go_on(int signo) {
    return (hung_up_ ? resume_to_system_call(shell_, signo) : resume(shell_, signo)).has_value();
  }

  /// A newborn is traced as well; where it has not stopped yet, it is let go when we end.
  static void release_newborn() {
    int status = 0;
    const pid_t tid = waitpid(-1, &status, __WALL | WNOHANG);
    if (tid > 0)
      (void)detach(tid);
  }

  void withhold_signal() {
    const Result<arch::Registers> regs = get_registers(shell_);
    if (regs && arch::entering_kill(*regs) == -pgid_)
      (void)set_registers(shell_, arch::skip_call(*regs, -ESRCH));
  }

  pid_t shell_;
  pid_t pgid_;
  bool hung_up_ = false;
};

}  // namespace

void guard_from_hangup(pid_t shell, pid_t pgid) {
  // When grab ends, the tree has ended or has another keeper; SIGKILL lets the shell go at once.
  (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
  (void)prctl(PR_SET_NAME, "grab-guard");  // for who looks with ps(1)
  Guard(shell, pgid).run();
}

}  // namespace grab::tracer
