// SPDX-License-Identifier: MIT
// Runs the batch code in a process of our own: what it calls, where it stops, and that it puts
// everything back.
#include "arch/batch.h"

#include <sys/auxv.h>
#include <sys/ioctl.h>

#include <cerrno>

#include "arch/kept_code.h"
#include "arch/test_tracee.h"

namespace grab::arch {
namespace {

Call call(std::uint16_t number, std::array<Argument, 4> args, std::int32_t expected) {
  return Call{.number = number, .args = args, .expected = expected};
}
Call end() {
  return Call{.is_end = true};
}

/// Every register with a value of its own, flags and all, resuming at a stop that the tracee makes
/// by itself.
Registers patterned(Registers regs, std::uint64_t flags) {
  constexpr std::size_t kOrigRax = 15, kRip = 16, kFlags = 18, kRsp = 19;
  for (std::size_t i = 0; i < kOrigRax; i++)
    regs.words[i] = 0x0101010101010101ULL * (i + 1);
  regs.words[kOrigRax] = ~0ULL;
  regs.words[kFlags] = (regs.words[kFlags] & ~0x8d5ULL) | flags;
  (void)kRip;
  (void)kRsp;
  return regs;
}

class BatchFlags : public testing::TestWithParam<std::uint64_t> {};

TEST_P(BatchFlags, PutsBackEveryRegisterAndFlag) {
  SpinningTracee tracee;
  const Registers want = patterned(tracee.registers(), GetParam());
  CallTable table;
  table.calls = {call(SYS_getppid, {}, getpid()), tracee.stop(), end()};
  // Behind the code: int3, where the tracee must arrive with its registers as they were.
  const std::uint64_t landing = tracee.code() + 3000;
  tracee.write(landing, {std::byte{0xcc}});
  const Registers resume = with_instruction_pointer(want, landing);
  tracee.write(tracee.code(), batch_code(resume));
  tracee.write(tracee.table(), encode(table, tracee.table()));
  tracee.set(
      enter_batch(resume, {.code = tracee.code(), .table = tracee.table(), .failure_call = 1}));
  tracee.go();
  ASSERT_EQ(tracee.wait_stop(), SIGSTOP);
  EXPECT_EQ(batch_failure(tracee.registers(), tracee.table()), std::nullopt);
  EXPECT_LT(instruction_pointer(tracee.registers()) - tracee.code(), batch_code_size());
  tracee.go();
  ASSERT_EQ(tracee.wait_stop(), SIGTRAP);
  EXPECT_EQ(tracee.registers(), with_instruction_pointer(want, landing + 1));
}
INSTANTIATE_TEST_SUITE_P(Each, BatchFlags,
                         testing::Values(0x000, 0x001, 0x004, 0x010, 0x040, 0x080, 0x800, 0x8d5,
                                         0x0d5));

TEST(Batch, GoesToTheFailureCallAtTheFirstUnexpectedResult) {
  SpinningTracee tracee;
  const Registers before = tracee.registers();
  CallTable table;
  table.calls = {call(SYS_getppid, {}, getpid()), call(SYS_close, {{{999}, {}, {}, {}}}, 0),
                 call(SYS_exit_group, {{{7}, {}, {}, {}}}, 0), tracee.stop(), end()};
  tracee.write(tracee.code(), batch_code(before));
  tracee.write(tracee.table(), encode(table, tracee.table()));
  tracee.set(
      enter_batch(before, {.code = tracee.code(), .table = tracee.table(), .failure_call = 3}));
  tracee.go();
  ASSERT_EQ(tracee.wait_stop(), SIGSTOP);
  const auto failure = batch_failure(tracee.registers(), tracee.table());
  ASSERT_TRUE(failure.has_value());
  EXPECT_EQ(failure->call, 1U);
  EXPECT_EQ(failure->result, -EBADF);
}

TEST(Batch, TakesZeroForGoodWhereItWillDoAndNothingElse) {
  SpinningTracee tracee;
  const Registers before = tracee.registers();
  const Argument none{999};
  const auto closing = [&](Argument fd, std::int32_t expected) {
    Call made = call(SYS_close, {{fd, {}, {}, {}}}, expected);
    made.zero_will_do = true;
    return made;
  };
  CallTable table;
  table.calls = {closing(none, -EBADF), closing({2}, -EBADF), closing(none, -EEXIST), tracee.stop(),
                 end()};
  tracee.write(tracee.code(), batch_code(before));
  tracee.write(tracee.table(), encode(table, tracee.table()));
  tracee.set(
      enter_batch(before, {.code = tracee.code(), .table = tracee.table(), .failure_call = 3}));
  tracee.go();
  ASSERT_EQ(tracee.wait_stop(), SIGSTOP);
  const auto failure = batch_failure(tracee.registers(), tracee.table());
  ASSERT_TRUE(failure.has_value());
  EXPECT_EQ(failure->call, 2U);
  EXPECT_EQ(failure->result, -EBADF);
}

TEST(Batch, ClosesADescriptorThatCameOutOtherThanExpected) {
  SpinningTracee tracee;
  const Registers before = tracee.registers();
  CallTable table;
  table.calls = {Call{.number = SYS_dup,
                      .args = {{{2}, {}, {}, {}}},
                      .expected = 77,
                      .yields_descriptor = true},
                 tracee.stop(), end()};
  tracee.write(tracee.code(), batch_code(before));
  tracee.write(tracee.table(), encode(table, tracee.table()));
  tracee.set(
      enter_batch(before, {.code = tracee.code(), .table = tracee.table(), .failure_call = 1}));
  tracee.go();
  ASSERT_EQ(tracee.wait_stop(), SIGSTOP);
  const auto failure = batch_failure(tracee.registers(), tracee.table());
  ASSERT_TRUE(failure.has_value());
  const std::string leaked =
      "/proc/" + std::to_string(tracee.pid()) + "/fd/" + std::to_string(failure->result);
  EXPECT_GT(failure->result, 2);
  EXPECT_NE(access(leaked.c_str(), F_OK), 0);
}

TEST(Batch, PassesAddressesOfDataAndGoesOnInAFarTable) {
  SpinningTracee tracee;
  const Registers before = tracee.registers();
  const std::uint64_t mask = 1ULL << (SIGUSR1 - 1);
  CallTable far;
  const Argument set = far.add_data(std::as_bytes(std::span(&mask, 1)));
  far.calls = {Call{.number = SYS_rt_sigprocmask, .args = {{{SIG_SETMASK}, set, {}, {8}}}},
               tracee.stop(), end()};
  const std::uint64_t far_address = tracee.table() + 1024;
  CallTable near;
  near.calls = {Call{.number = SYS_getpid, .any_result = true, .leaves_page = true},
                call(SYS_exit_group, {{{7}, {}, {}, {}}}, 0)};
  tracee.write(tracee.code(), batch_code(before));
  tracee.write(tracee.table(), encode(near, tracee.table()));
  tracee.write(far_address, encode(far, far_address));
  EXPECT_EQ(encode(far, far_address).size(), encoded_size(far));
  tracee.set(enter_batch(
      before, {.code = tracee.code(), .table = tracee.table(), .far_table = far_address}));
  tracee.go();
  ASSERT_EQ(tracee.wait_stop(), SIGSTOP);
  std::uint64_t blocked = 0;
  ptrace(PTRACE_GETSIGMASK, tracee.pid(), sizeof blocked, &blocked);
  EXPECT_EQ(blocked, mask);
}

TEST(Batch, CodeTellsWhetherTheProcessWasStopped) {
  EXPECT_FALSE(was_stopped(batch_code({}, false)));
  EXPECT_TRUE(was_stopped(batch_code({}, true)));
  EXPECT_FALSE(was_stopped({}));
}

// Longer tables go into a page. 992 bytes on Linux 6.12, 1,464 on 6.18.
TEST(VdsoTail, IsZeroAndHasRoomForTheCodeAFewCallsAndWhatOutlivesTheMove) {
  const VdsoTail tail = vdso_tail();
  const auto* at = reinterpret_cast<const unsigned char*>(getauxval(AT_SYSINFO_EHDR)) + tail.offset;
  for (std::size_t i = 0; i < tail.size; i++)
    ASSERT_EQ(at[i], 0) << i;
  EXPECT_GE(tail.size, batch_code_size() + 12 * kPackedCallSize + kKeptCodeSize);
}

TEST(Entering, TellsWhoAsksForTheForegroundGroup) {
  constexpr std::size_t kRax = 10, kRdx = 12, kRsi = 13, kRdi = 14, kOrigRax = 15;
  Registers entry;
  entry.words[kOrigRax] = SYS_ioctl;
  entry.words[kRax] = static_cast<std::uint64_t>(-ENOSYS);
  entry.words[kRdi] = 255;
  entry.words[kRsi] = TIOCSPGRP;
  entry.words[kRdx] = 0x1234;
  const auto sets = entering_foreground_call(entry);
  ASSERT_TRUE(sets);
  EXPECT_TRUE(sets->sets);
  EXPECT_EQ(sets->fd, 255);
  EXPECT_EQ(sets->pgid, 0x1234U);
  entry.words[kRsi] = TIOCGPGRP;
  EXPECT_FALSE(entering_foreground_call(entry)->sets);
  entry.words[kRsi] = TIOCGWINSZ;
  EXPECT_FALSE(entering_foreground_call(entry));
  entry.words[kRsi] = TIOCSPGRP;
  entry.words[kRax] = 0;  // it leaves the call
  EXPECT_FALSE(entering_foreground_call(entry));
  entry.words[kOrigRax] = SYS_execve;
  EXPECT_FALSE(entering_exec(entry));
  entry.words[kRax] = static_cast<std::uint64_t>(-ENOSYS);
  EXPECT_TRUE(entering_exec(entry));
}

TEST(Entering, TellsWhatTheKernelStopsInTheBackground) {
  constexpr std::size_t kRax = 10, kRsi = 13, kRdi = 14, kOrigRax = 15, kRip = 16;
  Registers entry;
  entry.words[kOrigRax] = SYS_read;
  entry.words[kRax] = static_cast<std::uint64_t>(-ENOSYS);
  entry.words[kRdi] = 7;
  entry.words[kRip] = 0x1002;
  ASSERT_TRUE(entering_terminal_use(entry));
  EXPECT_TRUE(entering_terminal_use(entry)->reads);
  EXPECT_EQ(entering_terminal_use(entry)->fd, 7);
  const Registers again = enter_again(entry);
  EXPECT_EQ(again.words[kRax], static_cast<std::uint64_t>(SYS_read));
  EXPECT_EQ(again.words[kOrigRax], ~0ULL);
  EXPECT_EQ(again.words[kRip], 0x1000U);
  entry.words[kOrigRax] = SYS_ioctl;
  entry.words[kRsi] = TCSETSW;
  ASSERT_TRUE(entering_terminal_use(entry));
  EXPECT_FALSE(entering_terminal_use(entry)->reads);
  entry.words[kRsi] = TCGETS;
  EXPECT_FALSE(entering_terminal_use(entry));
  entry.words[kRsi] = TCSETSW;
  entry.words[kRax] = 0;  // it leaves the call
  EXPECT_FALSE(entering_terminal_use(entry));
}

TEST(Entering, GivesAPollThatHasNoneALimit) {
  using std::chrono::milliseconds;
  constexpr std::size_t kRax = 10, kRdx = 12, kOrigRax = 15;
  Registers entry;
  entry.words[kOrigRax] = SYS_poll;
  entry.words[kRax] = static_cast<std::uint64_t>(-ENOSYS);
  entry.words[kRdx] = 0xffff'ffff;
  Registers limited = entry;
  limited.words[kRdx] = 10;
  EXPECT_EQ(with_poll_limit(entry, milliseconds(10)), limited);
  EXPECT_FALSE(with_poll_limit(limited, milliseconds(5)));
  entry.words[kRax] = 1;  // it leaves the call
  EXPECT_FALSE(with_poll_limit(entry, milliseconds(10)));
  entry.words[kOrigRax] = SYS_exit_group;
  EXPECT_FALSE(entering_exit(entry));
  entry.words[kRax] = static_cast<std::uint64_t>(-ENOSYS);
  EXPECT_TRUE(entering_exit(entry));
  EXPECT_FALSE(with_poll_limit(entry, milliseconds(10)));
}

TEST(Leaving, TellsAWriteThatASignalKeptFromWriting) {
  constexpr std::size_t kRax = 10, kOrigRax = 15;
  Registers exit;
  exit.words[kOrigRax] = SYS_write;
  exit.words[kRax] = static_cast<std::uint64_t>(-512);  // ERESTARTSYS
  const auto again = write_made_again(exit);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->words[kRax], static_cast<std::uint64_t>(-513));  // ERESTARTNOINTR
  EXPECT_EQ(again->words[kOrigRax], static_cast<std::uint64_t>(SYS_write));
  exit.words[kRax] = 5;  // bytes written
  EXPECT_FALSE(write_made_again(exit));
  exit.words[kRax] = static_cast<std::uint64_t>(-512);
  exit.words[kOrigRax] = SYS_read;
  EXPECT_FALSE(write_made_again(exit));
}

TEST(Resume, MakesAnInterruptedCallAgain) {
  Registers stopped;
  constexpr std::size_t kRax = 10, kOrigRax = 15, kRip = 16;
  stopped.words[kOrigRax] = SYS_read;
  stopped.words[kRax] = static_cast<std::uint64_t>(-512);
  stopped.words[kRip] = 0x1002;
  const Registers again = resume_by_itself(stopped);
  EXPECT_EQ(again.words[kRax], static_cast<std::uint64_t>(SYS_read));
  EXPECT_EQ(again.words[kRip], 0x1000U);
  EXPECT_EQ(resume_by_kernel(stopped), stopped);
  stopped.words[kRax] = static_cast<std::uint64_t>(-516);
  EXPECT_EQ(resume_by_itself(stopped).words[kRax], static_cast<std::uint64_t>(SYS_restart_syscall));
}

TEST(Resume, HidesTheInterruptionOfAnEpollWaitWithoutTimeoutOnly) {
  Registers stopped;
  constexpr std::size_t kR10 = 7, kRax = 10, kOrigRax = 15;
  stopped.words[kOrigRax] = SYS_epoll_wait;
  stopped.words[kRax] = static_cast<std::uint64_t>(-EINTR);
  stopped.words[kR10] = static_cast<std::uint32_t>(-1);
  EXPECT_EQ(resume_by_kernel(stopped).words[kRax], static_cast<std::uint64_t>(-514));
  stopped.words[kR10] = 100;
  EXPECT_EQ(resume_by_kernel(stopped), stopped);
}

TEST(Resume, HidesTheInterruptionOfAnIoUringThatWaitsWithoutTimeoutOnly) {
  Registers stopped;
  constexpr std::size_t kR10 = 7, kRax = 10, kOrigRax = 15;
  stopped.words[kOrigRax] = SYS_io_uring_enter;
  stopped.words[kRax] = static_cast<std::uint64_t>(-EINTR);
  stopped.words[kR10] = 1;  // IORING_ENTER_GETEVENTS
  EXPECT_EQ(resume_by_kernel(stopped).words[kRax], static_cast<std::uint64_t>(-514));
  stopped.words[kR10] = 1 | 8;  // and IORING_ENTER_EXT_ARG
  EXPECT_EQ(resume_by_kernel(stopped), stopped);
}

// Its timeout begins again.
TEST(Resume, HidesTheInterruptionOfASocketWithATimeout) {
  Registers stopped;
  constexpr std::size_t kR8 = 9, kRax = 10, kRdi = 14, kOrigRax = 15;
  const auto eintr = static_cast<std::uint64_t>(-EINTR);
  stopped.words[kRax] = eintr;
  for (const std::uint64_t call :
       {SYS_accept, SYS_accept4, SYS_recvfrom, SYS_recvmsg, SYS_recvmmsg}) {
    stopped.words[kOrigRax] = call;
    EXPECT_EQ(resume_by_kernel(stopped).words[kRax], static_cast<std::uint64_t>(-514)) << call;
  }
  stopped.words[kR8] = 4096;  // recvmmsg with a timeout of its own
  EXPECT_EQ(resume_by_kernel(stopped), stopped);
  EXPECT_EQ(interrupted_read(stopped), std::nullopt);
  stopped.words[kOrigRax] = SYS_read;
  stopped.words[kRdi] = 7;
  EXPECT_EQ(resume_by_kernel(stopped), stopped) << "it may be of a device";
  EXPECT_EQ(interrupted_read(stopped), 7);
  EXPECT_EQ(made_again(stopped).words[kRax], static_cast<std::uint64_t>(-514));
  stopped.words[kRax] = 1;
  EXPECT_EQ(interrupted_read(stopped), std::nullopt);
}

}  // namespace
}  // namespace grab::arch
