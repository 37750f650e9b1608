// SPDX-License-Identifier: MIT
// What is left of a wait: which calls have one, and that the code for it gives back every register.
#include "arch/timed_wait.h"

#include <sys/syscall.h>
#include <time.h>

#include <cerrno>

#include <gtest/gtest.h>

#include "arch/calling_tracee.h"
#include "arch/short_write.h"

namespace grab::arch {
namespace {

using std::chrono::milliseconds, std::chrono::nanoseconds;

Registers interrupted(std::uint64_t number, std::size_t timeout_register, std::uint64_t value) {
  Registers regs;
  regs.words[kOrigRax] = number;
  regs.words[kRax] = static_cast<std::uint64_t>(-EINTR);
  regs.words[timeout_register] = value;
  regs.words[kRip] = 0x7002;
  return regs;
}

TEST(TimedWait, IsACallThatWasToEndByItsTimeout) {
  const auto count = timed_wait(interrupted(SYS_epoll_wait, kR10, 250));
  ASSERT_TRUE(count.has_value());
  EXPECT_EQ(count->timeout, milliseconds(250));
  EXPECT_EQ(count->address, 0U);
  for (const auto& [number, at] : {std::pair(SYS_epoll_pwait2, kR10),
                                   {SYS_semtimedop, kR10},
                                   {SYS_rt_sigtimedwait, kRdx},
                                   {SYS_io_getevents, kR8}}) {
    const auto timed = timed_wait(interrupted(static_cast<std::uint64_t>(number), at, 0x5000));
    ASSERT_TRUE(timed.has_value()) << number;
    EXPECT_EQ(timed->address, 0x5000U);
  }
}

TEST(TimedWait, IsNoneWithoutATimeoutOrAnInterruption) {
  EXPECT_FALSE(timed_wait(interrupted(SYS_epoll_wait, kR10, static_cast<std::uint32_t>(-1))));
  EXPECT_FALSE(timed_wait(interrupted(SYS_semtimedop, kR10, 0)));
  EXPECT_FALSE(timed_wait(interrupted(SYS_poll, kRdx, 100)));
  EXPECT_FALSE(timed_wait(interrupted(~0ULL, kR10, 100)));
  Registers woken = interrupted(SYS_epoll_wait, kR10, 100);
  woken.words[kRax] = 1;
  EXPECT_FALSE(timed_wait(woken));
}

TEST(TimedWait, ItsCodeIsKnownWhateverTheConstants) {
  const Registers counted = interrupted(SYS_epoll_wait, kR10, 250);
  const Registers pointed = interrupted(SYS_rt_sigtimedwait, kRdx, 0x5000);
  for (const auto& code : {wait_code(counted, milliseconds(1)), wait_code(pointed, milliseconds(1)),
                           with_rest(wait_code(pointed, milliseconds(1)), milliseconds(7))}) {
    EXPECT_EQ(code.size(), kKeptCodeSize);
    EXPECT_TRUE(is_wait_code(code));
    EXPECT_TRUE(is_kept_code(code));
    EXPECT_FALSE(is_rest_code(code));
  }
  EXPECT_FALSE(is_kept_code(std::vector<std::byte>(kKeptCodeSize)));
  // Threads that count alike use the same bytes.
  EXPECT_EQ(wait_code(counted, milliseconds(1)), wait_code(counted, milliseconds(2)));
}

TEST(TimedWait, IsHandedToTheKernelWithWhatIsLeftOfItAndNeverLess) {
  const Registers counted = interrupted(SYS_epoll_wait, kR10, 250);
  const Registers rest = wait_the_rest(counted, 0x9000, nanoseconds(1'000'001));
  EXPECT_EQ(rest.words[kR10], 2U);
  EXPECT_EQ(rest.words[kRax], static_cast<std::uint64_t>(-514));
  EXPECT_EQ(call_address(rest), 0x9000U);
  EXPECT_EQ(resume_by_itself(rest).words[kRip], 0x9000U);
}

/// Before a wait of `timeout` for a signal that does not come.
Registers before_wait(CallingTracee& tracee, const timespec& timeout) {
  constexpr std::size_t kSetAt = 1024, kTimeoutAt = 1040;
  const std::uint64_t no_signals = 0;
  tracee.lay(kSetAt, &no_signals, sizeof no_signals);
  tracee.lay(kTimeoutAt, &timeout, sizeof timeout);
  return tracee.before_call(SYS_rt_sigtimedwait, {tracee.address(kSetAt), 0,
                                                  tracee.address(kTimeoutAt), sizeof no_signals});
}

TEST(TimedWait, IsEndedByTheProcessAsIfItHadBeenOneCall) {
  CallingTracee tracee;
  const Registers whole = tracee.run(before_wait(tracee, {0, 1'000'000}));
  EXPECT_EQ(static_cast<std::int64_t>(whole.words[kRax]), -EAGAIN);
  // Of a minute a moment is left.
  const Registers stopped = CallingTracee::stopped_in(before_wait(tracee, {60, 0}), -EINTR);
  constexpr std::size_t kCodeAt = 2048;
  const auto code = wait_code(stopped, milliseconds(1));
  tracee.lay(kCodeAt, code.data(), code.size());
  const Registers rest = wait_the_rest(stopped, tracee.address(kCodeAt), milliseconds(1));
  EXPECT_EQ(tracee.run(resume_by_itself(rest)), whole);
}

}  // namespace
}  // namespace grab::arch
