// SPDX-License-Identifier: MIT
// The calls of 32-bit programs that grab looks at, by their own numbers. The numbers of 64-bit ones
// are written out here, since the headers give both the same names.
#include <asm/unistd_32.h>
#include <linux/net.h>

#include <algorithm>
#include <iterator>

#include "arch/made_call.h"

namespace grab::arch {
namespace {

// Source: arch/x86/entry/syscalls/syscall_64.tbl.
enum : std::int16_t {
  kRead = 0,
  kWrite = 1,
  kPoll = 7,
  kIoctl = 16,
  kReadv = 19,
  kSelect = 23,
  kPause = 34,
  kAccept = 43,
  kRecvfrom = 45,
  kRecvmsg = 47,
  kExecve = 59,
  kWait4 = 61,
  kKill = 62,
  kRtSigtimedwait = 128,
  kRtSigsuspend = 130,
  kFutex = 202,
  kIoGetevents = 208,
  kRestartSyscall = 219,
  kSemtimedop = 220,
  kExitGroup = 231,
  kEpollWait = 232,
  kWaitid = 247,
  kPselect6 = 270,
  kPpoll = 271,
  kEpollPwait = 281,
  kRecvmmsg = 299,
  kExecveat = 322,
  kIoPgetevents = 333,
  kIoUringEnter = 426,
  kEpollPwait2 = 441,
};

struct Pair {
  std::uint32_t i386;
  std::int16_t number;
};

/// Those whose arguments, as far as they are looked at, are the same.
constexpr Pair kSame[] = {
    {__NR_restart_syscall, kRestartSyscall},
    {__NR_read, kRead},
    {__NR_write, kWrite},
    {__NR_waitpid, kWait4},
    {__NR_execve, kExecve},
    {__NR_pause, kPause},
    {__NR_kill, kKill},
    {__NR_sigsuspend, kRtSigsuspend},
    {__NR_ioctl, kIoctl},
    {__NR_select, kSelect},
    {__NR_wait4, kWait4},
    {__NR__newselect, kSelect},
    {__NR_readv, kReadv},
    {__NR_poll, kPoll},
    {__NR_rt_sigtimedwait, kRtSigtimedwait},
    {__NR_rt_sigsuspend, kRtSigsuspend},
    {__NR_futex, kFutex},
    {__NR_io_getevents, kIoGetevents},
    {__NR_exit_group, kExitGroup},
    {__NR_epoll_wait, kEpollWait},
    {__NR_waitid, kWaitid},
    {__NR_pselect6, kPselect6},
    {__NR_ppoll, kPpoll},
    {__NR_epoll_pwait, kEpollPwait},
    {__NR_accept4, kAccept},
    {__NR_recvfrom, kRecvfrom},
    {__NR_recvmsg, kRecvmsg},
    {__NR_recvmmsg, kRecvmmsg},
    {__NR_recvmmsg_time64, kRecvmmsg},
    {__NR_execveat, kExecveat},
    {__NR_io_pgetevents, kIoPgetevents},
    {__NR_pselect6_time64, kPselect6},
    {__NR_ppoll_time64, kPpoll},
    {__NR_semtimedop_time64, kSemtimedop},
    {__NR_io_pgetevents_time64, kIoPgetevents},
    {__NR_rt_sigtimedwait_time64, kRtSigtimedwait},
    {__NR_futex_time64, kFutex},
    {__NR_io_uring_enter, kIoUringEnter},
    {__NR_epoll_pwait2, kEpollPwait2},
};

/// semop(2) and semtimedop(2) by way of ipc(2): which, set, count, -, operations, timeout.
MadeCall from_ipc(const std::array<std::uint32_t, 6>& args) {
  constexpr std::uint32_t kSemopOfIpc = 1;
  constexpr std::uint32_t kSemtimedopOfIpc = 4;
  const std::uint32_t which = args[0] & 0xffff;
  if (which != kSemopOfIpc && which != kSemtimedopOfIpc)
    return {};
  return {kSemtimedop, {args[1], args[4], args[2], which == kSemopOfIpc ? 0 : args[5]}};
}

/// The calls of sockets by way of socketcall(2): which, and the address of their arguments.
MadeCall from_socketcall(std::uint32_t which) {
  switch (which) {
    case SYS_ACCEPT:
    case SYS_ACCEPT4:
      return {kAccept, {}};
    case SYS_RECV:
    case SYS_RECVFROM:
      return {kRecvfrom, {}};
    case SYS_RECVMSG:
      return {kRecvmsg, {}};
    default:
      return {};
  }
}

}  // namespace

MadeCall from_i386(std::uint32_t number, const std::array<std::uint32_t, 6>& args) {
  if (number == __NR_ipc)
    return from_ipc(args);
  if (number == __NR_socketcall)
    return from_socketcall(args[0]);
  const auto* const same = std::find_if(std::begin(kSame), std::end(kSame),
                                        [&](const Pair& pair) { return pair.i386 == number; });
  MadeCall call;
  if (same == std::end(kSame))
    return call;
  call.number = same->number;
  std::copy(args.begin(), args.end(), call.args.begin());
  if (number == __NR_waitpid)
    call.args[3] = 0;  // it has no place for the resource usage
  return call;
}

}  // namespace grab::arch
