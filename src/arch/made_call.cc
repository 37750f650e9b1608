// SPDX-License-Identifier: MIT
// What grab asks of the call that a thread is in: whether it may be made again, whether a shell
// waits or reads. The same for every CPU.
#include "arch/made_call.h"

#include <linux/io_uring.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <csignal>
#include <cstring>

namespace grab::arch {

bool may_be_made_again(const MadeCall& call) {
  switch (call.number) {
    case SYS_epoll_wait:
    case SYS_epoll_pwait:
      return static_cast<std::int32_t>(call.args[3]) < 0;
    case SYS_epoll_pwait2:
    case SYS_semtimedop:
      return call.args[3] == 0;
    case SYS_semop:
      return true;
    case SYS_rt_sigtimedwait:
      return call.args[2] == 0;
    case SYS_io_getevents:
    case SYS_io_pgetevents:
      return call.args[4] == 0;
    // With an extended argument it may have a timeout. Where it has submitted calls it is not
    // interrupted. Source: io_uring_enter(2).
    case SYS_io_uring_enter:
      return (call.args[3] & IORING_ENTER_EXT_ARG) == 0;
    // Kernel: these give -EINTR where the socket has a timeout (SO_RCVTIMEO), and have taken
    // nothing from it then; also to a handler with SA_RESTART. Source: signal(7),
    // include/net/sock.h sock_intr_errno.
    case SYS_accept:
    case SYS_accept4:
    case SYS_recvfrom:
    case SYS_recvmsg:
      return true;
    case SYS_recvmmsg:
      return call.args[4] == 0;
    default:
      return false;
  }
}

std::optional<int> interrupted_read(const Registers& stopped) {
  const auto [number, args] = made_call(stopped);
  if ((number != SYS_read && number != SYS_readv) || !is_interrupted(stopped))
    return std::nullopt;
  return static_cast<int>(args[0]);
}

std::optional<WaitCall> entering_wait(const Registers& at_entry) {
  if (!is_entering_call(at_entry))
    return std::nullopt;
  const auto [number, args] = made_call(at_entry);
  WaitCall wait;
  wait.by_i386 = at_entry.in_i386_call;
  if (number == SYS_wait4) {
    wait.id = static_cast<pid_t>(args[0]);
    wait.status = args[1];
    wait.options = static_cast<int>(args[2]);
    wait.rusage = args[3];
    return wait;
  }
  if (number != SYS_waitid)
    return std::nullopt;
  wait.is_waitid = true;
  wait.id_type = static_cast<int>(args[0]);
  wait.id = static_cast<pid_t>(args[1]);
  wait.status = args[2];
  wait.options = static_cast<int>(args[3]);
  wait.rusage = args[4];
  return wait;
}

namespace {

template <class T>
std::vector<std::byte> bytes_of(const T& value) {
  std::vector<std::byte> bytes(sizeof value);
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

struct SiginfoI386 {  // siginfo_t of a 32-bit program, for SIGCHLD
  std::int32_t signo, error, code;
  std::int32_t pid;
  std::uint32_t uid;
  std::int32_t status, user_time, system_time;
  std::array<std::int32_t, 24> rest;
};
static_assert(sizeof(SiginfoI386) == 128);
constexpr std::size_t kRusageI386Size = 72;  // struct rusage: 18 words

}  // namespace

std::vector<std::byte> wait_result(const WaitCall& wait, const ChildEnd& end) {
  const int status = end.wait_status;
  if (!wait.is_waitid)
    return bytes_of(status);
  const int code = WIFSIGNALED(status) ? CLD_KILLED : CLD_EXITED;
  const int detail = WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
  if (wait.by_i386) {
    SiginfoI386 info{};
    info.signo = SIGCHLD;
    info.code = code;
    info.pid = end.pid;
    info.uid = end.uid;
    info.status = detail;
    return bytes_of(info);
  }
  siginfo_t info{};
  info.si_signo = SIGCHLD;
  info.si_code = code;
  info.si_pid = end.pid;
  info.si_uid = end.uid;
  info.si_status = detail;
  return bytes_of(info);
}

std::size_t rusage_size(const WaitCall& wait) {
  return wait.by_i386 ? kRusageI386Size : sizeof(rusage);
}

bool sleeps_for_child(const Registers& interrupted) {
  const auto [number, args] = made_call(interrupted);
  switch (number) {
    case SYS_wait4:
      return (args[2] & WNOHANG) == 0;
    case SYS_waitid:
      return (args[3] & WNOHANG) == 0;
    case SYS_rt_sigsuspend:
    case SYS_rt_sigtimedwait:
    case SYS_pause:
    case SYS_futex:
      return true;
    default:
      return false;
  }
}

bool entering_sleep(const Registers& at_entry) {
  if (!is_entering_call(at_entry))
    return false;
  return made_call(at_entry).number == SYS_restart_syscall || sleeps_for_child(at_entry);
}

bool entering_read(const Registers& at_entry) {
  if (!is_entering_call(at_entry))
    return false;
  switch (made_call(at_entry).number) {
    case SYS_read:
    case SYS_poll:
    case SYS_ppoll:
    case SYS_select:
    case SYS_pselect6:
    case SYS_epoll_wait:
    case SYS_epoll_pwait:
      return true;
    default:
      return false;
  }
}

bool entering_exit(const Registers& at_entry) {
  return is_entering_call(at_entry) && made_call(at_entry).number == SYS_exit_group;
}

std::optional<KillCall> entering_kill(const Registers& at_entry) {
  const auto [number, args] = made_call(at_entry);
  if (!is_entering_call(at_entry) || number != SYS_kill)
    return std::nullopt;
  return KillCall{static_cast<pid_t>(args[0]), static_cast<int>(args[1])};
}

// The request is an unsigned int, whatever stands above it in the register.
std::optional<ForegroundCall> entering_foreground_call(const Registers& at_entry) {
  const auto [number, args] = made_call(at_entry);
  const auto request = static_cast<unsigned>(args[1]);
  if (!is_entering_call(at_entry) || number != SYS_ioctl ||
      (request != TIOCGPGRP && request != TIOCSPGRP))
    return std::nullopt;
  return ForegroundCall{request == TIOCSPGRP, static_cast<int>(args[0]), args[2]};
}

bool entering_exec(const Registers& at_entry) {
  const auto number = made_call(at_entry).number;
  return is_entering_call(at_entry) && (number == SYS_execve || number == SYS_execveat);
}

std::optional<TerminalUse> entering_terminal_use(const Registers& at_entry) {
  if (!is_entering_call(at_entry))
    return std::nullopt;
  const auto [number, args] = made_call(at_entry);
  const auto request = static_cast<unsigned>(args[1]);
  const bool reads = number == SYS_read || number == SYS_readv;
  const bool sets_modes =
      number == SYS_ioctl && (request == TCSETS || request == TCSETSW || request == TCSETSF);
  if (!reads && !sets_modes)
    return std::nullopt;
  return TerminalUse{reads, static_cast<int>(args[0])};
}

}  // namespace grab::arch
