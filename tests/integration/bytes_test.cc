// SPDX-License-Identifier: MIT
// Output that has no room on the old terminal when the tree is moved: what is shown there and what
// is shown on the new one are together what the program has written, every byte once.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <optional>
#include <string>

#include <gtest/gtest.h>

#include "support/grab_test.h"

namespace grab::test {
namespace {

constexpr int kBlocks = 3;
constexpr int kLines = 20'000;         // 200 kB, in one write(2)
constexpr std::size_t kLineSize = 10;  // n00000001 and the newline

std::string lines_as_shown(int last, const char* line_end) {
  std::string text;
  for (int n = 1; n <= last; ++n) {
    char line[32];
    std::snprintf(line, sizeof line, "n%08d%s", n, line_end);
    text += line;
  }
  return text;
}

/// How many bytes of `all` are shown on the old terminal, when the rest is shown on the new one.
/// What follows on the old one (a prompt) may begin like the rest.
std::optional<std::size_t> seam_of(const std::string& all, const std::string& on_old,
                                   const std::string& on_new) {
  const auto start = on_old.find(all.substr(0, kLineSize - 1));
  if (start == std::string::npos)
    return std::nullopt;
  const auto old_end = std::mismatch(
      all.begin(), all.end(), on_old.begin() + static_cast<std::ptrdiff_t>(start), on_old.end());
  const auto most = static_cast<std::size_t>(old_end.first - all.begin());
  for (std::size_t seam = most; seam + 3 > most && seam > 0; --seam) {
    if (on_new.find(all.substr(seam) + "wrote all, 0 short") != std::string::npos)
      return seam;
  }
  return std::nullopt;
}

/// Modes of the terminal, and what stops its output.
struct Blocked {
  const char* name;
  const char* stty;
  const char* line_end;
  bool by_control_s;
  const char* call = "write";
};

class BlockedWriter : public GrabTest, public testing::WithParamInterface<Blocked> {};

INSTANTIATE_TEST_SUITE_P(
    In, BlockedWriter,
    testing::Values(Blocked{"TextOnAFullTerminal", "sane", "\r\n", false},
                    Blocked{"RawOnAFullTerminal", "raw -echo", "\n", false},
                    Blocked{"TextStoppedByControlS", "sane", "\r\n", true},
                    Blocked{"UnprocessedStoppedByControlS", "-opost -echo", "\n", true},
                    Blocked{"ElementsOnAFullTerminal", "sane", "\r\n", false, "writev"},
                    Blocked{"RawElementsOnAFullTerminal", "raw -echo", "\n", false, "writev"}),
    [](const auto& blocked) { return std::string(blocked.param.name); });

/// What has been written still makes room on its way for a moment when the writer waits already.
bool takes_output(const TerminalSession& terminal) {
  const int fd = ::open(terminal.path().c_str(), O_WRONLY | O_NOCTTY | O_CLOEXEC);
  pollfd poll_fd{fd, POLLOUT, 0};
  const int count = ::poll(&poll_fd, 1, 0);
  ::close(fd);
  return count == 1 && (poll_fd.revents & POLLOUT) != 0;
}

/// Moves such a writer; `line` is the one in which it left the old terminal, counted in its call: 0
/// if the call had written all, or nothing.
void move_writer(const Blocked& how, std::size_t& line) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start(std::string("bash -c 'stty ") + how.stty +
                                "; exec tracee_zoo whole-writes " + std::to_string(kBlocks) + " " +
                                std::to_string(kLines) + " ready " + how.call + "'");
  if (!how.by_control_s)
    first.stop_reading();
  ASSERT_EQ(::kill(pid, SIGUSR1), 0);
  if (how.by_control_s) {
    ASSERT_TRUE(first.expect("n00000100"));
    first.type("\x13");
  }
  ASSERT_TRUE(wait_until([&] { return waits_in_write(pid) && !takes_output(first); }));
  // The log has every byte, also where a busy machine keeps this terminal from taking them in time.
  const std::string log = scratch("log");
  second.grab_tree(pid, "--log " + log);
  ASSERT_TRUE(has_left(first, pid));
  ASSERT_TRUE(second.expect("wrote all, "));
  if (how.by_control_s)
    first.type("\x11");
  else
    first.read_on();
  ASSERT_TRUE(first.answers());
  const std::string all = lines_as_shown(kBlocks * kLines, how.line_end);
  const std::string on_new = read_file(log);
  const auto seam = seam_of(all, first.transcript(), on_new);
  ASSERT_TRUE(seam) << on_new.substr(0, 300) << " ... "
                    << on_new.substr(std::max<std::size_t>(on_new.size(), 100) - 100);
  line = *seam / (kLineSize - 1 + std::string(how.line_end).size()) % kLines;
  ASSERT_TRUE(second.expect_grab_ended(0));
}

TEST_P(BlockedWriter, LosesNoByteThoughItDoesNotLookAtTheCountOfItsWrite) {
  constexpr int kTries = 5;  // ^S may come between two calls
  std::size_t line = 0;
  for (int i = 0; i < kTries && line == 0; ++i)
    ASSERT_NO_FATAL_FAILURE(move_writer(GetParam(), line));
  EXPECT_NE(line, 0U) << "it was never moved in the middle of a call";
}

// The log has every byte, also where a busy machine keeps a terminal from taking them in time.
class Writer : public GrabTest {
 protected:
  [[nodiscard]] std::string logged() const { return "--log " + log_; }
  [[nodiscard]] testing::AssertionResult has_logged(int lines) const {
    if (read_file(log_).find(lines_as_shown(lines, "\r\n")) != std::string::npos)
      return testing::AssertionSuccess();
    return testing::AssertionFailure() << all_transcripts();
  }

 private:
  const std::string log_ = scratch("log");
};

TEST_F(Writer, IsNotInterruptedInAPipeEither) {
  Shell first("bash");
  SecondTerminal second;
  const std::string fifo = scratch("go");
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  const pid_t reader = first.start(
      "tracee_zoo whole-writes 1 20000 now | bash -c 'echo ready $$; "
      "read -r go < " +
      fifo + "; exec cat'");
  const pid_t writer = first.wait_for_program("tracee_zoo");
  ASSERT_TRUE(wait_until([&] { return waits_in_write(writer); }));
  second.grab_tree(reader, logged());
  ASSERT_TRUE(have_left(first, {reader, writer}));
  write_file(fifo, "go\n");
  ASSERT_TRUE(second.expect("wrote all, 0 short"));
  EXPECT_TRUE(has_logged(20'000));
}

TEST_F(Writer, IsNotInterruptedWhereItWritesManyElementsAndIsMovedTwice) {
  Shell first("bash");
  SecondTerminal second;
  SecondTerminal third;
  const std::string fifo = scratch("go");
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  const pid_t reader = first.start(
      "tracee_zoo whole-writes 1 20000 now writev | bash -c 'echo ready $$; "
      "read -r go < " +
      fifo + "; exec cat'");
  const pid_t writer = first.wait_for_program("tracee_zoo");
  ASSERT_TRUE(wait_until([&] { return waits_in_write(writer); }));
  second.grab_tree(reader);
  ASSERT_TRUE(have_left(first, {reader, writer}));
  third.grab_tree(reader, "--force " + logged());
  ASSERT_TRUE(third.expect("grab: moved 2 processes"));
  write_file(fifo, "go\n");
  ASSERT_TRUE(third.expect("wrote all, 0 short"));
  EXPECT_TRUE(has_logged(20'000));
}

TEST_F(Writer, IsNotInterruptedWhereItSendsToASocket) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo whole-send");
  ASSERT_TRUE(wait_until([&] { return waits_in_write(pid); }));
  ASSERT_TRUE(grabs_tree(second, first, pid, logged()));
  second.type("\r");
  EXPECT_TRUE(second.expect("sent 600000 of 600000"));
  EXPECT_TRUE(has_logged(60'000));
}

TEST_F(Writer, IsToldHowMuchItHasWrittenWhenItsOwnSignalEndsTheWrite) {
  Shell first("bash");
  SecondTerminal second;
  const std::string fifo = scratch("go");
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  // Standard output is a pipe that nobody reads: there is no room in it after the move either.
  const pid_t reader =
      first.start("tracee_zoo timed-write | bash -c 'echo ready $$; read -r go < " + fifo +
                  "; exec tail -n 1'");
  const pid_t writer = first.wait_for_program("tracee_zoo");
  ASSERT_TRUE(wait_until([&] { return waits_in_write(writer); }));
  second.grab_tree(reader);
  ASSERT_TRUE(have_left(first, {reader, writer}));
  ASSERT_TRUE(wait_until([&] { return waits_in_write(writer); }));
  ASSERT_EQ(::kill(writer, SIGUSR1), 0);
  write_file(fifo, "go\n");
  const long count = second.expect_number("write: ");
  EXPECT_GT(count, 0);
  EXPECT_LT(count, 200'000);
  EXPECT_TRUE(second.expect(" bytes, 1 signals"));
}

}  // namespace
}  // namespace grab::test
