// SPDX-License-Identifier: MIT
#include "tracer/ptrace.h"

#include <linux/audit.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>

#include "base/fault.h"

namespace grab::tracer {
namespace {

using Request =
    __ptrace_request;  // glibc's own type of the first argument; requests newer than it are cast

template <class Data>
Status request(Request what, const char* name, pid_t tid, std::uintptr_t address, Data data) {
  if (const int err = fault(name, tid, what == PTRACE_SEIZE ? EPERM : EIO); err != 0)
    return fail_errno(err, std::string(name) + " of " + std::to_string(tid));
  if (ptrace(what, tid, address, data) == 0)
    return {};
  return fail_errno(errno, std::string(name) + " of " + std::to_string(tid));
}

constexpr int kEventShift = 16;
constexpr int kEventStop = 128;        // PTRACE_EVENT_STOP
constexpr int kSystemCallStop = 0x80;  // what PTRACE_O_TRACESYSGOOD adds to SIGTRAP

}  // namespace

Stop::Stop(int wait_status) {
  if (!WIFSTOPPED(wait_status))
    return;
  signo_ = WSTOPSIG(wait_status);
  switch (wait_status >> kEventShift) {
    case 0:
      kind_ =
          signo_ == (SIGTRAP | kSystemCallStop) ? StopKind::kSystemCall : StopKind::kSignalDelivery;
      return;
    case PTRACE_EVENT_FORK:
      kind_ = StopKind::kFork;
      return;
    case PTRACE_EVENT_VFORK:
      kind_ = StopKind::kVfork;
      return;
    case PTRACE_EVENT_CLONE:
      kind_ = StopKind::kClone;
      return;
    case PTRACE_EVENT_VFORK_DONE:
      kind_ = StopKind::kVforkDone;
      return;
    case PTRACE_EVENT_EXEC:
      kind_ = StopKind::kExec;
      return;
    case kEventStop:
    default:
      kind_ = signo_ == SIGTRAP ? StopKind::kInterrupted : StopKind::kGroupStop;
      return;
  }
}

// Kernel: a stop that was waited for is taken off the tracee: if the tracer dies before it lets the
// tracee go on with the signal that it reported, that signal is lost. With WNOWAIT the stop stays,
// and the signal with it. Of the other stops nothing is lost, and they have to be taken off, lest
// they be told again while the tracee stands still. Source: kernel/exit.c wait_task_stopped,
// kernel/signal.c ptrace_signal; seen.
std::optional<Stopped> next_stop(pid_t tid) {
  constexpr int kAnything = WEXITED | WSTOPPED | WNOHANG | __WALL;
  const idtype_t type = tid == 0 ? P_ALL : P_PID;
  siginfo_t info{};
  if (waitid(type, static_cast<id_t>(tid), &info, kAnything | WNOWAIT) != 0 || info.si_pid == 0)
    return std::nullopt;
  const pid_t found = info.si_pid;
  const auto stop = [&info] {
    const bool ended = info.si_code != CLD_TRAPPED && info.si_code != CLD_STOPPED;
    return Stop(ended ? 0 : (info.si_status << 8) | 0x7f);  // as wait4(2) would give it
  };
  if (stop().kind() == StopKind::kSignalDelivery)
    return Stopped{found, stop()};
  info = {};
  if (waitid(P_PID, static_cast<id_t>(found), &info, kAnything) != 0)
    return std::nullopt;
  // One that was killed between the two calls has nothing more to say before its end.
  return info.si_pid == 0 ? next_stop(tid) : std::optional(Stopped{found, stop()});
}
namespace {
// Kernel: without PTRACE_O_EXITKILL a tracer that goes leaves its tracees running.
// Source: ptrace(2), PTRACE_O_EXITKILL.
constexpr std::uintptr_t kOptions = PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE |
                                    PTRACE_O_TRACEVFORKDONE | PTRACE_O_TRACEEXEC |
                                    PTRACE_O_TRACESYSGOOD;
}  // namespace

Status seize(pid_t tid) {
  return request(PTRACE_SEIZE, "PTRACE_SEIZE", tid, 0, kOptions);
}

Status seize_alone(pid_t tid) {
  constexpr std::uintptr_t kOptions = PTRACE_O_TRACEEXEC | PTRACE_O_TRACESYSGOOD;
  return request(PTRACE_SEIZE, "PTRACE_SEIZE", tid, 0, kOptions);
}

// Kernel: a stop that was waited for is taken off the tracee: if the tracer dies before it lets the
// tracee go on with the signal that it reported, that signal is lost. With WNOWAIT the stop stays,
// and the signal with it. Source: kernel/exit.c wait_task_stopped, kernel/signal.c ptrace_signal;
// not tried apart.
Waited wait_for_tracees(Wait wait) {
  siginfo_t info{};
  const int options = WEXITED | WSTOPPED | WNOWAIT | __WALL | (wait == Wait::kPoll ? WNOHANG : 0);
  if (waitid(P_ALL, 0, &info, options) != 0)
    return {errno == EINTR ? Waited::What::kInterrupted : Waited::What::kNobody};
  if (info.si_pid == 0)
    return {};
  if (info.si_code == CLD_TRAPPED || info.si_code == CLD_STOPPED) {
    const int status = (info.si_status << 8) | 0x7f;  // as wait4(2) would give it
    return {Waited::What::kStopped, info.si_pid, Stop(status)};
  }
  (void)waitpid(info.si_pid, nullptr, __WALL | WNOHANG);
  return {Waited::What::kEnded, info.si_pid, Stop(0)};
}

Status interrupt(pid_t tid) {
  return request(PTRACE_INTERRUPT, "PTRACE_INTERRUPT", tid, 0, 0);
}
Status resume(pid_t tid, int signo) {
  return request(PTRACE_CONT, "PTRACE_CONT", tid, 0, signo);
}
Status resume_to_system_call(pid_t tid, int signo) {
  return request(PTRACE_SYSCALL, "PTRACE_SYSCALL", tid, 0, signo);
}
Status listen(pid_t tid) {
  return request(PTRACE_LISTEN, "PTRACE_LISTEN", tid, 0, 0);
}
Status detach(pid_t tid, int signo) {
  return request(PTRACE_DETACH, "PTRACE_DETACH", tid, 0, signo);
}

namespace {

/// Whether the call that a stopped thread is in was made as 32-bit programs do. Where the kernel
/// cannot be asked (before Linux 5.3), no.
// Kernel: a 64-bit program may make a 32-bit call, and its numbers mean others. At a stop in a call
// only the kernel knows; at any other stop it says that of the kernel itself. Source: ptrace(2)
// PTRACE_GET_SYSCALL_INFO; kernel/ptrace.c.
bool is_in_i386_call(pid_t tid) {
  constexpr int kGetSyscallInfo = 0x420e;
  struct {  // struct ptrace_syscall_info, as far as it is the same for every stop
    std::uint8_t op, pad[3];
    std::uint32_t arch;
    std::uint64_t instruction_pointer, stack_pointer;
  } info{};
  return ptrace(static_cast<Request>(kGetSyscallInfo), tid, sizeof info, &info) > 0 &&
         info.arch == AUDIT_ARCH_I386;
}

}  // namespace

// Kernel: PTRACE_GETREGSET gives the registers of a 32-bit thread in another layout; PTRACE_GETREGS
// and PTRACE_SETREGS have that of the tracer. Source: arch/x86/kernel/ptrace.c arch_ptrace; seen.
Result<arch::Registers> get_registers(pid_t tid) {
  arch::Registers regs;
  GRAB_CHECK(request(PTRACE_GETREGS, "PTRACE_GETREGS", tid, 0, regs.words.data()));
  if (!arch::runs_usual_code(regs)) {
    return fail(ErrorKind::kUnsupported,
                std::to_string(tid) + " is running code in a segment of its own making");
  }
  regs.in_i386_call = arch::in_system_call(regs) && is_in_i386_call(tid);
  return regs;
}

Status set_registers(pid_t tid, arch::Registers regs) {
  return request(PTRACE_SETREGS, "PTRACE_SETREGS", tid, 0, regs.words.data());
}

Result<std::uint64_t> get_signal_mask(pid_t tid) {
  std::uint64_t mask = 0;
  GRAB_CHECK(request(static_cast<Request>(PTRACE_GETSIGMASK), "PTRACE_GETSIGMASK", tid, sizeof mask,
                     &mask));
  return mask;
}

Status set_signal_mask(pid_t tid, std::uint64_t mask) {
  return request(static_cast<Request>(PTRACE_SETSIGMASK), "PTRACE_SETSIGMASK", tid, sizeof mask,
                 &mask);
}

Result<siginfo_t> get_signal_info(pid_t tid) {
  siginfo_t info{};
  GRAB_CHECK(request(PTRACE_GETSIGINFO, "PTRACE_GETSIGINFO", tid, 0, &info));
  return info;
}

Result<pid_t> get_event_pid(pid_t tid) {
  unsigned long message = 0;
  GRAB_CHECK(request(PTRACE_GETEVENTMSG, "PTRACE_GETEVENTMSG", tid, 0, &message));
  return static_cast<pid_t>(message);
}

// Kernel: the filters of a thread are not asked while a tracer with CAP_SYS_ADMIN, and without a
// filter of its own, has this option set; it ends with the trace, and so does the exemption.
// Source: ptrace(2) PTRACE_O_SUSPEND_SECCOMP, Linux >= 4.3; seen.
Status suspend_seccomp(pid_t tid) {
  constexpr std::uintptr_t kSuspendSeccomp = 1U << 21U;
  return request(PTRACE_SETOPTIONS, "PTRACE_SETOPTIONS", tid, 0, kOptions | kSuspendSeccomp);
}

// Source: PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG, Linux >= 6.4.
bool has_syscall_user_dispatch(pid_t tid) {
  struct {  // struct ptrace_sud_config
    std::uint64_t mode, selector, offset, length;
  } config{};
  constexpr int kGetConfig = 0x4211;
  return ptrace(static_cast<Request>(kGetConfig), tid, sizeof config, &config) == 0 &&
         config.mode != 0;
}

// Kernel: a thread that leaves a restartable sequence other than by its end must go on at the abort
// address; the kernel sees that only where the instruction pointer still is inside, and ours would
// be in the batch. Source: rseq(2), kernel/rseq.c rseq_ip_fixup.
std::uint64_t after_restartable_sequence(pid_t tid, int mem_fd, std::uint64_t ip) {
  struct RseqConfiguration {  // struct ptrace_rseq_configuration
    std::uint64_t abi_pointer;
    std::uint32_t abi_size, signature, flags, pad;
  } rseq{};
  constexpr int kGetRseqConfiguration = 0x420f;
  if (ptrace(static_cast<Request>(kGetRseqConfiguration), tid, sizeof rseq, &rseq) <= 0 ||
      rseq.abi_pointer == 0) {
    return ip;
  }
  constexpr std::uint64_t kSequencePointer = 8;  // offsetof(struct rseq, rseq_cs)
  std::uint64_t sequence = 0;
  if (pread(mem_fd, &sequence, sizeof sequence,
            static_cast<off_t>(rseq.abi_pointer + kSequencePointer)) != sizeof sequence ||
      sequence == 0) {
    return ip;
  }
  struct Sequence {  // struct rseq_cs
    std::uint32_t version, flags;
    std::uint64_t start, length, abort;
  } cs{};
  if (pread(mem_fd, &cs, sizeof cs, static_cast<off_t>(sequence)) != sizeof cs)
    return ip;
  return ip - cs.start < cs.length ? cs.abort : ip;
}

}  // namespace grab::tracer
