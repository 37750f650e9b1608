// SPDX-License-Identifier: MIT
// The rest of a write(2), written by a process of our own: what it writes, the count that it is
// given, and that it has the registers that one call would have left it.
#include "arch/short_write.h"

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
#include <string>

#include <gtest/gtest.h>

namespace grab::arch {
namespace {

constexpr std::size_t kRax = 10, kRdx = 12, kRsi = 13, kRdi = 14, kOrigRax = 15, kRip = 16;

/// At the end of a write of `asked` bytes, of which `written` were.
Registers after_write(std::uint64_t asked, std::int64_t written, std::uint64_t number = SYS_write) {
  Registers regs;
  regs.words[kOrigRax] = number;
  regs.words[kRax] = static_cast<std::uint64_t>(written);
  regs.words[kRdi] = 1;
  regs.words[kRsi] = 0x5000;
  regs.words[kRdx] = asked;
  regs.words[kRip] = 0x7000;
  return regs;
}

TEST(ShortWrite, IsOneThatHasWrittenAPart) {
  const auto found = short_write(after_write(100, 40));
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->fd, 1);
  EXPECT_EQ(found->written, 40);
  EXPECT_TRUE(short_write(after_write(~0ULL, 40)));
}

TEST(ShortWrite, IsNoneThatHasWrittenAllOrNothingOrIsAnotherCall) {
  EXPECT_FALSE(short_write(after_write(100, 100)));
  EXPECT_FALSE(short_write(after_write(100, 0)));
  EXPECT_FALSE(short_write(after_write(100, -512)));
  EXPECT_FALSE(short_write(after_write(100, -EAGAIN)));
  EXPECT_FALSE(short_write(after_write(100, 40, SYS_read)));
  EXPECT_FALSE(short_write(after_write(100, 40, ~0ULL)));
  // Kernel: no call writes more than 0x7ffff000 bytes. Source: write(2).
  EXPECT_FALSE(short_write(after_write(1ULL << 32U, 0x7ffff000)));
}

TEST(ShortWrite, ItsRestIsKnownFromItsCodeWhateverTheConstants) {
  EXPECT_TRUE(is_rest_code(rest_code(after_write(100, 40))));
  EXPECT_TRUE(is_rest_code(rest_code(after_write(4096, 1))));
  EXPECT_EQ(rest_code(after_write(100, 40)).size(), kKeptCodeSize);
  EXPECT_FALSE(is_rest_code(std::vector<std::byte>(kKeptCodeSize)));
}

TEST(ShortWrite, IsHandedToTheKernelAsOneWhoseRestHasYetToBegin) {
  const Registers rest = write_the_rest(after_write(100, 40), 0x9000);
  EXPECT_EQ(rest.words[kRsi], 0x5000U + 40);
  EXPECT_EQ(rest.words[kRdx], 60U);
  EXPECT_EQ(rest.words[kRax], static_cast<std::uint64_t>(-512));
  EXPECT_EQ(rest.words[kOrigRax], static_cast<std::uint64_t>(SYS_write));
  EXPECT_EQ(resume_by_itself(rest).words[kRip], 0x9000U);
}

/// A tracee of ours that writes a text of 10 bytes into a pipe and ends with a breakpoint; stopped
/// in front of the first.
class WritingTracee {
 public:
  WritingTracee() {
    EXPECT_EQ(pipe(pipe_), 0);
    memory_ = static_cast<std::byte*>(
        mmap(nullptr, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    std::memcpy(memory_, "0123456789", 10);
    // syscall; int3
    const unsigned char code[] = {0x0f, 0x05, 0xcc};
    std::memcpy(memory_ + kCallAt, code, sizeof code);
    pid_ = fork();
    if (pid_ == 0) {
      ptrace(PTRACE_TRACEME, 0, 0, 0);
      raise(SIGSTOP);
      for (;;)
        asm volatile("pause");
    }
    int status = 0;
    waitpid(pid_, &status, 0);
  }
  ~WritingTracee() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    munmap(memory_, 4096);
    close(pipe_[0]);
    close(pipe_[1]);
  }
  WritingTracee(const WritingTracee&) = delete;
  WritingTracee& operator=(const WritingTracee&) = delete;

  [[nodiscard]] std::uint64_t address(std::size_t offset) const {
    return reinterpret_cast<std::uint64_t>(memory_) + offset;
  }
  /// Every register with a value of its own, before the call that writes `count` bytes of the text.
  [[nodiscard]] Registers before_call(int fd, std::size_t from, std::size_t count) const {
    Registers regs = registers();
    for (const std::size_t i : {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11})
      regs.words[i] = 0x0101010101010101ULL * (i + 1);
    regs.words[kOrigRax] = ~0ULL;
    regs.words[kRax] = SYS_write;
    regs.words[kRdi] = static_cast<std::uint64_t>(fd);
    regs.words[kRsi] = address(from);
    regs.words[kRdx] = count;
    regs.words[kRip] = address(kCallAt);
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
  /// The same for the rest of a call of which `written` bytes have been written already.
  Registers run_rest(const Registers& before, std::int64_t written) {
    Registers stopped = before;
    stopped.words[kOrigRax] = SYS_write;
    stopped.words[kRax] = static_cast<std::uint64_t>(written);
    stopped.words[kRip] += 2;
    const std::vector<std::byte> code = rest_code(stopped);
    std::memcpy(memory_ + kRestAt, code.data(), code.size());
    return run(resume_by_itself(write_the_rest(stopped, address(kRestAt))));
  }
  [[nodiscard]] Registers registers() const {
    Registers regs;
    iovec io{regs.words.data(), sizeof regs.words};
    EXPECT_EQ(ptrace(PTRACE_GETREGSET, pid_, NT_PRSTATUS, &io), 0);
    return regs;
  }
  [[nodiscard]] int out() const { return pipe_[1]; }
  std::string written() {
    char buffer[32];
    const ssize_t count = read(pipe_[0], buffer, sizeof buffer);
    return {buffer, static_cast<std::size_t>(count > 0 ? count : 0)};
  }

 private:
  static constexpr std::size_t kCallAt = 1024;
  static constexpr std::size_t kRestAt = 2048;
  int pipe_[2] = {-1, -1};
  std::byte* memory_ = nullptr;
  pid_t pid_ = 0;
};

TEST(ShortWrite, IsEndedByTheProcessAsIfItHadBeenOneCall) {
  WritingTracee tracee;
  const Registers before = tracee.before_call(tracee.out(), 0, 10);
  const Registers whole = tracee.run(before);
  EXPECT_EQ(tracee.written(), "0123456789");
  EXPECT_EQ(whole.words[kRax], 10U);
  const Registers rest = tracee.run_rest(before, 4);
  EXPECT_EQ(tracee.written(), "456789");
  EXPECT_EQ(rest, whole);
}

TEST(ShortWrite, HasItsShortCountWhereTheRestFails) {
  WritingTracee tracee;
  const Registers before = tracee.before_call(999, 0, 10);
  Registers failed = tracee.run(before);
  EXPECT_EQ(static_cast<std::int64_t>(failed.words[kRax]), -EBADF);
  failed.words[kRax] = 4;
  EXPECT_EQ(tracee.run_rest(before, 4), failed);
}

}  // namespace
}  // namespace grab::arch
