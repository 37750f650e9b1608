// SPDX-License-Identifier: MIT
// The rest of a write(2) or writev(2), written by a process of our own: what it writes, the count
// that it is given, and that it has the registers that one call would have left it.
#include "arch/short_write.h"

#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "arch/calling_tracee.h"

namespace grab::arch {
namespace {

/// At the end of a write of `asked` bytes, of which `written` were.
Registers after_write(std::uint64_t asked, std::int64_t written, std::uint64_t number = SYS_write,
                      std::uint64_t fourth = 0) {
  Registers regs;
  regs.words[kOrigRax] = number;
  regs.words[kRax] = static_cast<std::uint64_t>(written);
  regs.words[kRdi] = 1;
  regs.words[kRsi] = 0x5000;
  regs.words[kRdx] = asked;
  regs.words[kR10] = fourth;
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
  EXPECT_FALSE(short_write(after_write(100, 40, SYS_sendmsg)));
  EXPECT_FALSE(short_write(after_write(100, 40, ~0ULL)));
  // Kernel: no call writes more than 0x7ffff000 bytes. Source: write(2).
  EXPECT_FALSE(short_write(after_write(1ULL << 32U, 0x7ffff000)));
}

TEST(ShortWrite, IsOneToASocketToo) {
  EXPECT_TRUE(short_write(after_write(100, 40, SYS_sendto)));
  EXPECT_FALSE(short_write(after_write(100, 100, SYS_sendto)));
  EXPECT_FALSE(short_write(after_write(100, 40, SYS_sendto, MSG_ZEROCOPY)));
}

TEST(ShortWrite, OfAVectorMayBeOneAsFarAsItsCountsTell) {
  const auto found = short_write(after_write(3, 4000, SYS_writev));
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->vector, 0x5000U);
  EXPECT_EQ(found->elements, 3U);
  EXPECT_FALSE(short_write(after_write(3, 0, SYS_writev)));
  EXPECT_FALSE(short_write(after_write(3, -512, SYS_writev)));
  EXPECT_FALSE(short_write(after_write(1025, 40, SYS_writev)));
}

std::vector<iovec> vector_of(const std::vector<std::size_t>& sizes) {
  std::vector<iovec> vector;
  std::size_t address = 0x1000;
  for (const std::size_t size : sizes) {
    vector.push_back({reinterpret_cast<void*>(address), size});  // NOLINT: of another process
    address += 0x1000;
  }
  return vector;
}

TEST(ShortWrite, OfAVectorBreaksOffInAnElementOrBetweenTwo) {
  const std::vector<iovec> vector = vector_of({3, 0, 4, 0, 5});
  EXPECT_EQ(vector_rest(vector, 1), (VectorRest{0x1001, 2, 1}));
  EXPECT_EQ(vector_rest(vector, 3), (VectorRest{0, 0, 2}));
  EXPECT_EQ(vector_rest(vector, 6), (VectorRest{0x3003, 1, 3}));
  EXPECT_EQ(vector_rest(vector, 7), (VectorRest{0, 0, 4}));
  EXPECT_EQ(vector_rest(vector, 11), (VectorRest{0x5004, 1, 5}));
  EXPECT_EQ(vector_rest(vector, 12), std::nullopt);
  EXPECT_EQ(vector_rest(vector, 0), std::nullopt);
  EXPECT_EQ(vector_rest({}, 1), std::nullopt);
}

TEST(ShortWrite, OfAVectorThatIsMoreThanOneCallWritesStaysShort) {
  EXPECT_EQ(vector_rest(vector_of({0x7ffff000, 1}), 5), std::nullopt);
  EXPECT_EQ(vector_rest(vector_of({~std::size_t{0}, 8}), 5), std::nullopt);
}

TEST(ShortWrite, ItsRestIsKnownFromItsCodeWhateverTheConstants) {
  EXPECT_TRUE(is_rest_code(rest_code(after_write(100, 40))));
  EXPECT_TRUE(is_rest_code(rest_code(after_write(4096, 1))));
  EXPECT_EQ(rest_code(after_write(100, 40)).size(), kKeptCodeSize);
  const Registers vector = after_write(3, 40, SYS_writev);
  for (const VectorRest& rest : {VectorRest{0x6000, 7, 1}, VectorRest{0x7000, 1 << 30, 2}}) {
    EXPECT_TRUE(is_rest_code(rest_of_vector_code(vector, rest)));
    EXPECT_TRUE(is_rest_code(rest_of_element_code(vector, rest, -640)));
    EXPECT_EQ(rest_of_element_code(vector, rest, 64).size(), kKeptCodeSize);
  }
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
  /// The same text in three elements, of 3, 0, 5 and 2 bytes.
  [[nodiscard]] Registers before_vector_call(int fd) {
    std::vector<iovec> vector;
    std::size_t at = kTextAt;
    for (const std::size_t size : {3, 0, 5, 2}) {
      vector.push_back({reinterpret_cast<void*>(tracee_->address(at)), size});  // NOLINT
      at += size;
    }
    tracee_->lay(kVectorAt, vector.data(), vector.size() * sizeof(iovec));
    return tracee_->before_call(SYS_writev, {static_cast<std::uint64_t>(fd),
                                             tracee_->address(kVectorAt), vector.size(), kUnused});
  }
  Registers run(const Registers& regs) { return tracee_->run(regs); }
  /// As run_rest(), of a vector call; `first` lies before or behind the code that it goes on with.
  Registers run_vector_rest(const Registers& before, std::int32_t written, std::size_t first) {
    const Registers stopped = CallingTracee::stopped_in(before, written);
    std::vector<iovec> vector(4);
    std::memcpy(vector.data(), tracee_->bytes(kVectorAt), vector.size() * sizeof(iovec));
    const auto rest = vector_rest(vector, written);
    EXPECT_TRUE(rest);
    const std::vector<std::byte> behind = rest_of_vector_code(stopped, *rest);
    tracee_->lay(kRestAt, behind.data(), behind.size());
    if (rest->size == 0)
      return run(
          resume_by_itself(write_the_rest_of_vector(stopped, *rest, tracee_->address(kRestAt))));
    const auto distance = static_cast<std::int64_t>(kRestAt) - static_cast<std::int64_t>(first);
    const std::vector<std::byte> code = rest_of_element_code(stopped, *rest, distance);
    tracee_->lay(first, code.data(), code.size());
    return run(resume_by_itself(write_the_rest_of_vector(stopped, *rest, tracee_->address(first))));
  }
  /// The same where the rest of the element is asked for, and only `most` bytes of it are written.
  Registers run_short_rest(const Registers& before, std::int32_t written, std::uint64_t most) {
    const Registers whole = CallingTracee::stopped_in(before, written);
    (void)run_vector_rest(before, written, kBeforeRest);
    (void)this->written();
    std::vector<iovec> vector(4);
    std::memcpy(vector.data(), tracee_->bytes(kVectorAt), vector.size() * sizeof(iovec));
    Registers regs = resume_by_itself(write_the_rest_of_vector(whole, *vector_rest(vector, written),
                                                               tracee_->address(kBeforeRest)));
    regs.words[kRdx] = most;
    return run(regs);
  }
  static constexpr std::size_t kBeforeRest = 1984, kBehindRest = 2112;
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
  static constexpr std::size_t kVectorAt = 1536;
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

TEST(ShortWrite, OfAVectorIsEndedByTheProcessAsIfItHadBeenOneCall) {
  WritingTracee tracee;
  const std::string text = "0123456789";
  const Registers before = tracee.before_vector_call(tracee.out());
  const Registers whole = tracee.run(before);
  EXPECT_EQ(tracee.written(), text);
  EXPECT_EQ(whole.words[kRax], 10U);
  for (std::int32_t written = 1; written < 10; written++) {
    for (const std::size_t first : {WritingTracee::kBeforeRest, WritingTracee::kBehindRest}) {
      const Registers rest = tracee.run_vector_rest(before, written, first);
      EXPECT_EQ(tracee.written(), text.substr(static_cast<std::size_t>(written)));
      EXPECT_EQ(rest, whole) << written;
    }
  }
}

TEST(ShortWrite, OfAVectorHasItsShortCountWhereTheRestFails) {
  WritingTracee tracee;
  const Registers before = tracee.before_vector_call(999);
  Registers failed = tracee.run(before);
  EXPECT_EQ(static_cast<std::int64_t>(failed.words[kRax]), -EBADF);
  for (const std::int32_t written : {2, 3, 9}) {
    failed.words[kRax] = static_cast<std::uint64_t>(written);
    EXPECT_EQ(tracee.run_vector_rest(before, written, WritingTracee::kBeforeRest), failed);
  }
}

// As when the pipe is full, and a handler runs.
TEST(ShortWrite, OfAVectorCountsWhatAnotherShortWriteOfTheRestHasWritten) {
  WritingTracee tracee;
  const Registers before = tracee.before_vector_call(tracee.out());
  const Registers whole = tracee.run(before);
  ASSERT_EQ(tracee.written(), "0123456789");
  const Registers counted = tracee.run_short_rest(before, 4, 1);
  EXPECT_EQ(tracee.written(), "4");
  Registers expected = whole;
  expected.words[kRax] = 5;
  EXPECT_EQ(counted, expected);
}

}  // namespace
}  // namespace grab::arch
