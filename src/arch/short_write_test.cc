// SPDX-License-Identifier: MIT
// The rest of a write(2), written by a process of our own: what it writes, the count that it is
// given, and that it has the registers that one call would have left it.
#include "arch/short_write.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <string>

#include <gtest/gtest.h>

#include "arch/calling_tracee.h"

namespace grab::arch {
namespace {

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

/// Writes a text of 10 bytes into a pipe.
class WritingTracee {
 public:
  WritingTracee() {
    EXPECT_EQ(pipe(pipe_), 0);
    tracee_.emplace();
    tracee_->lay(kTextAt, "0123456789", 10);
  }
  ~WritingTracee() {
    tracee_.reset();
    close(pipe_[0]);
    close(pipe_[1]);
  }
  WritingTracee(const WritingTracee&) = delete;
  WritingTracee& operator=(const WritingTracee&) = delete;

  /// Before the call that writes all of the text.
  [[nodiscard]] Registers before_call(int fd) const {
    return tracee_->before_call(
        SYS_write, {static_cast<std::uint64_t>(fd), tracee_->address(kTextAt), 10, kUnused});
  }
  Registers run(const Registers& regs) { return tracee_->run(regs); }
  /// The same for the rest of a call of which `written` bytes have been written already.
  Registers run_rest(const Registers& before, std::int64_t written) {
    const Registers stopped = CallingTracee::stopped_in(before, written);
    const std::vector<std::byte> code = rest_code(stopped);
    tracee_->lay(kRestAt, code.data(), code.size());
    return run(resume_by_itself(write_the_rest(stopped, tracee_->address(kRestAt))));
  }
  [[nodiscard]] int out() const { return pipe_[1]; }
  std::string written() {
    char buffer[32];
    const ssize_t count = read(pipe_[0], buffer, sizeof buffer);
    return {buffer, static_cast<std::size_t>(count > 0 ? count : 0)};
  }

 private:
  static constexpr std::size_t kTextAt = 1024;
  static constexpr std::size_t kRestAt = 2048;
  static constexpr std::uint64_t kUnused = 0x0808080808080808;  // is to stay as it is
  int pipe_[2] = {-1, -1};
  std::optional<CallingTracee> tracee_;  // has the pipe
};

TEST(ShortWrite, IsEndedByTheProcessAsIfItHadBeenOneCall) {
  WritingTracee tracee;
  const Registers before = tracee.before_call(tracee.out());
  const Registers whole = tracee.run(before);
  EXPECT_EQ(tracee.written(), "0123456789");
  EXPECT_EQ(whole.words[kRax], 10U);
  const Registers rest = tracee.run_rest(before, 4);
  EXPECT_EQ(tracee.written(), "456789");
  EXPECT_EQ(rest, whole);
}

TEST(ShortWrite, HasItsShortCountWhereTheRestFails) {
  WritingTracee tracee;
  const Registers before = tracee.before_call(999);
  Registers failed = tracee.run(before);
  EXPECT_EQ(static_cast<std::int64_t>(failed.words[kRax]), -EBADF);
  failed.words[kRax] = 4;
  EXPECT_EQ(tracee.run_rest(before, 4), failed);
}

}  // namespace
}  // namespace grab::arch
