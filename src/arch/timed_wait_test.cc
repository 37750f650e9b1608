// SPDX-License-Identifier: MIT
// What is left of a wait: which calls have one, and that the code for it gives back every register.
#include "arch/timed_wait.h"

#include <elf.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include <gtest/gtest.h>

#include "arch/short_write.h"

namespace grab::arch {
namespace {

using std::chrono::milliseconds, std::chrono::nanoseconds;
constexpr std::size_t kR10 = 7, kR8 = 9, kRax = 10, kRdx = 12, kOrigRax = 15, kRip = 16;

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

/// A tracee of ours, in whose memory code can be laid; stopped.
class WaitingTracee {
 public:
  WaitingTracee() {
    memory_ = static_cast<std::byte*>(
        mmap(nullptr, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    // syscall; int3
    const unsigned char code[] = {0x0f, 0x05, 0xcc};
    std::memcpy(memory_, code, sizeof code);
    pid_ = fork();
    if (pid_ == 0) {
      ptrace(PTRACE_TRACEME, 0, 0, 0);
      raise(SIGSTOP);
      for (;;)
        asm volatile("pause");
    }
    waitpid(pid_, nullptr, 0);
  }
  ~WaitingTracee() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    munmap(memory_, 4096);
  }
  WaitingTracee(const WaitingTracee&) = delete;
  WaitingTracee& operator=(const WaitingTracee&) = delete;

  [[nodiscard]] std::uint64_t address(std::size_t offset) const {
    return reinterpret_cast<std::uint64_t>(memory_) + offset;
  }
  void lay(std::size_t at, const void* bytes, std::size_t size) {
    std::memcpy(memory_ + at, bytes, size);
  }
  /// Every register with a value of its own, before a wait of `timeout` for a signal that does not
  /// come.
  Registers before_wait(const timespec& timeout) {
    constexpr std::size_t kRsi = 13, kRdi = 14;
    const std::uint64_t no_signals = 0;
    lay(kSetAt, &no_signals, sizeof no_signals);
    lay(kTimeoutAt, &timeout, sizeof timeout);
    Registers regs = registers();
    for (const std::size_t i : {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11})
      regs.words[i] = 0x0101010101010101ULL * (i + 1);
    regs.words[kOrigRax] = ~0ULL;
    regs.words[kRax] = SYS_rt_sigtimedwait;
    regs.words[kRdi] = address(kSetAt);
    regs.words[kRsi] = 0;
    regs.words[kRdx] = address(kTimeoutAt);
    regs.words[kR10] = sizeof no_signals;
    regs.words[kRip] = address(0);
    return regs;
  }
  /// Runs to the breakpoint behind the call.
  Registers run(Registers regs) {
    iovec io{regs.words.data(), sizeof regs.words};
    EXPECT_EQ(ptrace(PTRACE_SETREGSET, pid_, NT_PRSTATUS, &io), 0);
    EXPECT_EQ(ptrace(PTRACE_CONT, pid_, 0, 0), 0);
    int status = 0;
    EXPECT_EQ(waitpid(pid_, &status, 0), pid_);
    EXPECT_TRUE(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP) << status;
    return registers();
  }
  [[nodiscard]] Registers registers() const {
    Registers regs;
    iovec io{regs.words.data(), sizeof regs.words};
    EXPECT_EQ(ptrace(PTRACE_GETREGSET, pid_, NT_PRSTATUS, &io), 0);
    return regs;
  }

 private:
  static constexpr std::size_t kSetAt = 1024;
  static constexpr std::size_t kTimeoutAt = 1040;
  std::byte* memory_ = nullptr;
  pid_t pid_ = 0;
};

TEST(TimedWait, IsEndedByTheProcessAsIfItHadBeenOneCall) {
  WaitingTracee tracee;
  const Registers before = tracee.before_wait({0, 1'000'000});
  const Registers whole = tracee.run(before);
  EXPECT_EQ(static_cast<std::int64_t>(whole.words[kRax]), -EAGAIN);
  // Of a minute a moment is left.
  const Registers long_wait = tracee.before_wait({60, 0});
  Registers stopped = long_wait;
  stopped.words[kOrigRax] = SYS_rt_sigtimedwait;
  stopped.words[kRax] = static_cast<std::uint64_t>(-EINTR);
  stopped.words[kRip] += 2;
  constexpr std::size_t kCodeAt = 2048;
  const auto code = wait_code(stopped, milliseconds(1));
  tracee.lay(kCodeAt, code.data(), code.size());
  const Registers rest = wait_the_rest(stopped, tracee.address(kCodeAt), milliseconds(1));
  EXPECT_EQ(tracee.run(resume_by_itself(rest)), whole);
}

}  // namespace
}  // namespace grab::arch
