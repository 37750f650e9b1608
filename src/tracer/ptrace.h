// SPDX-License-Identifier: MIT
// ptrace(2) with types, one function a request. Every tracee is one thread, named by its tid.
#pragma once

#include <sys/types.h>

#include <csignal>
#include <cstdint>
#include <optional>

#include "arch/batch.h"
#include "base/error.h"

namespace grab::tracer {

/// What a tracee that stopped says of itself. Source: ptrace(2), "Stopped states".
enum class StopKind {
  kEnded,           ///< it has exited or was killed
  kInterrupted,     ///< the stop that PTRACE_INTERRUPT asked for, or the first of a new thread
  kGroupStop,       ///< stopped by SIGSTOP, SIGTSTP, SIGTTIN or SIGTTOU; `signo` tells
  kSignalDelivery,  ///< about to get `signo`
  kSystemCall,      ///< syscall-enter-stop or syscall-exit-stop
  kFork,
  kVfork,
  kClone,
  kVforkDone,
  kExec,
};

class Stop {
 public:
  explicit Stop(int wait_status);
  [[nodiscard]] StopKind kind() const { return kind_; }
  [[nodiscard]] int signo() const { return signo_; }

 private:
  StopKind kind_ = StopKind::kEnded;
  int signo_ = 0;
};

struct Stopped {
  pid_t tid = 0;
  Stop stop;
};

/// The next thing that `tid`, or with 0 any tracee, has to say; nothing if it has nothing to say.
/// What is a signal-delivery-stop is only looked at: it is told again until the tracee goes on.
[[nodiscard]] std::optional<Stopped> next_stop(pid_t tid);

enum class Wait { kBlock, kPoll };
/// What a wait for any tracee or child finds.
struct Waited {
  enum class What {
    kNothing,      ///< yet; only where one does not wait for it
    kNobody,       ///< there is nobody left to wait for
    kInterrupted,  ///< a handler has run
    kStopped,
    kEnded,
  };
  What what = What::kNothing;
  pid_t tid = 0;
  Stop stop{0};
};
/// A stop is left where it is: another call, by whoever traces then, finds it again. One that has
/// ended is reaped.
[[nodiscard]] Waited wait_for_tracees(Wait wait);

/// Seizes a thread with fork, vfork, clone and exec tracing on, and syscall stops marked; it runs
/// on. Errors: kPermission (also for a zombie), kGone.
[[nodiscard]] Status seize(pid_t tid);
/// The same, but what the thread starts is not traced.
[[nodiscard]] Status seize_alone(pid_t tid);
[[nodiscard]] Status interrupt(pid_t tid);
/// Lets a stopped tracee run, delivering `signo` if not 0.
[[nodiscard]] Status resume(pid_t tid, int signo = 0);
/// As resume(), to the next entry or exit of a system call.
[[nodiscard]] Status resume_to_system_call(pid_t tid, int signo = 0);
/// Keeps a group-stopped tracee stopped while SIGCONT still wakes it.
[[nodiscard]] Status listen(pid_t tid);
[[nodiscard]] Status detach(pid_t tid, int signo = 0);

/// Errors: kUnsupported if it runs code to which no batch could come back.
[[nodiscard]] Result<arch::Registers> get_registers(pid_t tid);
[[nodiscard]] Status set_registers(pid_t tid, arch::Registers regs);
/// The mask that the thread has when no call lends it another. Source: PTRACE_GETSIGMASK, Linux
/// >= 5.3.
[[nodiscard]] Result<std::uint64_t> get_signal_mask(pid_t tid);
[[nodiscard]] Status set_signal_mask(pid_t tid, std::uint64_t mask);
[[nodiscard]] Result<siginfo_t> get_signal_info(pid_t tid);
[[nodiscard]] Result<pid_t> get_event_pid(
    pid_t tid);  ///< the new thread of a fork, vfork or clone stop

/// Until it is detached, no seccomp filter is asked about its calls. Errors: kPermission if we are
/// not root, or under a filter ourselves.
[[nodiscard]] Status suspend_seccomp(pid_t tid);

/// Whether calls that it makes from some addresses are handed to a handler of its own
/// (PR_SET_SYSCALL_USER_DISPATCH). No on kernels that do not tell.
[[nodiscard]] bool has_syscall_user_dispatch(pid_t tid);

/// Where a thread stopped in user mode at `ip` has to go on: at the abort address if it was inside
/// a restartable sequence, else at `ip`.
[[nodiscard]] std::uint64_t after_restartable_sequence(pid_t tid, int mem_fd, std::uint64_t ip);

}  // namespace grab::tracer
