// SPDX-License-Identifier: MIT
// What a user sees in terminal 2 once a job has been moved there: its output without a gap, an
// answer to what is typed, the line editing that it had, and its end.
#include <signal.h>
#include <termios.h>
#include <unistd.h>

#include <cstdio>
#include <map>
#include <regex>
#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "support/grab_test.h"

namespace grab::test {
namespace {

using testing::HasSubstr;
using testing::Not;

class Move : public GrabTest {};
class MoveFromShell : public EveryShell {};

INSTANTIATE_TEST_SUITE_P(Of, MoveFromShell, testing::Values("bash", "zsh", "fish", "dash"),
                         [](const auto& shell) { return shell.param; });

std::string numbered(long n) {
  char text[32];
  std::snprintf(text, sizeof text, "n%08ld", n);
  return text;
}

std::vector<long> numbers_in(const std::string& text) {
  static const std::regex line("n([0-9]{8})\r\n");
  std::vector<long> numbers;
  for (auto it = std::sregex_iterator(text.begin(), text.end(), line); it != std::sregex_iterator();
       ++it)
    numbers.push_back(std::stol((*it)[1]));
  return numbers;
}

// Old and new together are the lines 1 to `last`, each once and in order. The line at the seam may
// have begun on the old terminal and have ended on the new one.
testing::AssertionResult are_one_sequence(const std::string& before, const std::string& after,
                                          long last) {
  const auto in_old = numbers_in(before);
  const auto in_new = numbers_in(after);
  long next = 1;
  for (const long n : in_old) {
    if (n != next++)
      return testing::AssertionFailure() << "terminal 1 has " << n << " instead of " << next - 1;
  }
  if (!in_new.empty() && in_new.front() == next + 1) {
    const std::string line = numbered(next) + "\r\n";
    bool seam = false;
    for (std::size_t cut = 1; cut < line.size() && !seam; ++cut) {
      const auto end = before.rfind(numbered(next - 1) + "\r\n");
      seam = before.compare(end + line.size(), cut, line, 0, cut) == 0 &&
             after.find(line.substr(cut) + numbered(next + 1)) != std::string::npos;
    }
    if (!seam)
      return testing::AssertionFailure() << "line " << next << " is missing at the seam";
    ++next;
  }
  for (const long n : in_new) {
    if (n != next++)
      return testing::AssertionFailure() << "terminal 2 has " << n << " instead of " << next - 1;
  }
  if (next != last + 1)
    return testing::AssertionFailure() << "it ends at " << next - 1 << " instead of " << last;
  if (in_old.empty() || in_new.empty())
    return testing::AssertionFailure()
           << "nothing is left to compare: " << in_old.size() << " lines on terminal 1, "
           << in_new.size() << " on terminal 2";
  return testing::AssertionSuccess();
}

std::map<int, unsigned> flags_of(pid_t pid) {
  std::map<int, unsigned> flags;
  for (const auto& [fd, facts] : fds_of(pid))
    flags.emplace(fd, facts.flags);
  return flags;
}

TEST_P(MoveFromShell, EveryLineIsShownOnceAndInOrder) {
  Shell first(GetParam());
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo count 600 1000");
  ASSERT_TRUE(first.expect("n00000005"));
  ASSERT_TRUE(grabs_tree(second, first, pid));
  ASSERT_TRUE(second.expect("counted all"));
  EXPECT_TRUE(are_one_sequence(first.transcript(), second.transcript(), 600));
}

TEST_F(Move, EveryByteOfAFastWriterIsShownOnceAndInOrder) {
  Shell first("dash");
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo count 400000");
  ASSERT_TRUE(first.expect("n00001000"));
  // A test that reads too slowly is shown the screen, and not all that was there in between.
  const std::string log = scratch("log");
  ASSERT_TRUE(grabs_tree(second, first, pid, "--log " + log));
  ASSERT_TRUE(second.expect("counted all", Duration{30'000}));
  ASSERT_TRUE(wait_until([&] { return read_file(log).ends_with("counted all\r\n"); }));
  EXPECT_TRUE(are_one_sequence(first.transcript(), read_file(log), 400'000));
}

TEST_P(MoveFromShell, ABackgroundJobIsMoved) {
  Shell first(GetParam());
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo count 150 5000 &");
  ASSERT_TRUE(first.expect("n00000003"));
  ASSERT_TRUE(grabs_tree(second, first, pid));
  ASSERT_TRUE(second.expect("counted all"));
  EXPECT_TRUE(are_one_sequence(first.transcript(), second.transcript(), 150));
  EXPECT_TRUE(second.expect_grab_ended(0));
}

TEST_P(MoveFromShell, AStoppedJobIsMovedAndGoesOn) {
  Shell first(GetParam());
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo echo-lines");
  first.type("\x1a");
  ASSERT_TRUE(wait_until([&] { return is_stopped(pid); }));
  ASSERT_TRUE(first.answers());
  ASSERT_TRUE(grabs_tree(second, first, pid));
  EXPECT_TRUE(second.echoes("goes on"));
}

TEST_P(MoveFromShell, KeepsItsPidAndBecomesTheSessionLeaderOfItsNewTerminal) {
  Shell first(GetParam());
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo echo-lines");
  ASSERT_TRUE(grabs_tree(second, first, pid));
  const auto stat = read_stat(pid);
  ASSERT_TRUE(stat);
  EXPECT_EQ(stat->sid, pid);
  EXPECT_EQ(stat->pgid, pid);
  EXPECT_EQ(stat->tpgid, pid);
  EXPECT_NE(stat->tty, 0U);
  EXPECT_NE(stat->tty, second.device());
  EXPECT_THAT(terminal_of(pid), HasSubstr("/dev/pts/"));
  EXPECT_TRUE(second.echoes("hello"));
}

TEST_P(MoveFromShell, LineEditingWorksForAStoppedJobWhateverTheShellHadMadeOfItsTerminal) {
  Shell first(GetParam());
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo echo-lines");
  first.type("\x1a");
  ASSERT_TRUE(wait_until([&] { return is_stopped(pid); }));
  ASSERT_TRUE(first.answers());
  ASSERT_TRUE(grabs_tree(second, first, pid));
  second.type(
      "wrong\x15"
      "rigX\x7fht\r");
  EXPECT_TRUE(second.expect("got: right\r\n"));
}

TEST_P(MoveFromShell, LineEditingWorksForAForegroundJob) {
  Shell first(GetParam());
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo echo-lines");
  ASSERT_TRUE(grabs_tree(second, first, pid));
  second.type(
      "wrong\x15"
      "rigX\x7fht\r");
  EXPECT_TRUE(second.expect("got: right\r\n"));
  second.type("\x04");
  EXPECT_TRUE(second.expect("end of input"));
  EXPECT_TRUE(second.expect_grab_ended(0));
}

TEST_F(Move, TheModesThatAForegroundJobHadSetAreKept) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid =
      first.start("bash -c 'stty -echo erase x susp undef -ixon; exec tracee_zoo echo-lines'");
  const termios before = first.modes();
  ASSERT_FALSE(before.c_lflag & ECHO);
  ASSERT_TRUE(grabs_tree(second, first, pid));
  second.type("abyxc\r");
  ASSERT_TRUE(second.expect("got: abc\r\n"));
  EXPECT_THAT(second.transcript(), Not(HasSubstr("aby")));  // not echoed
}

TEST_F(Move, RawKeysReachAProgramInRawMode) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start("bash -c 'stty raw -echo; exec tracee_zoo echo-lines'");
  ASSERT_TRUE(grabs_tree(second, first, pid, "-e none"));
  second.type(
      "\x03\x1a\x1c"
      "abc\n");
  EXPECT_TRUE(
      second.expect("got: \x03\x1a\x1c"
                    "abc"));
}

TEST_F(Move, WhatWasTypedAndNotYetReadIsReadOnTheNewTerminalAndNotByTheOldShell) {
  Shell first("bash");
  SecondTerminal second;
  const std::string file = scratch("typed-ahead");
  const pid_t pid = first.start("tracee_zoo read-late");
  first.type("touch " + file + "\rand a par");
  // What was typed has been echoed, so it is in the queue of the terminal.
  ASSERT_TRUE(first.expect("and a par"));
  ASSERT_TRUE(grabs_tree(second, first, pid));
  ASSERT_EQ(::kill(pid, SIGUSR1), 0);
  EXPECT_TRUE(second.expect("got: touch " + file + "\r\n"));
  second.type("tial line\r");
  EXPECT_TRUE(second.expect("got: and a partial line\r\n"));
  ASSERT_TRUE(first.answers());
  EXPECT_FALSE(exists(file));
}

TEST_F(Move, ChildrenStartedAfterwardsAreAtHomeOnTheNewTerminal) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo echo-lines");
  ASSERT_TRUE(grabs_tree(second, first, pid));
  const std::string tty = terminal_of(pid);
  second.type("spawn\r");
  ASSERT_TRUE(second.expect("child: pid="));
  EXPECT_TRUE(second.expect(" sid=" + std::to_string(pid) + " tty=" + tty +
                            " devtty=" + std::to_string(pid) + " end"));
}

TEST_F(Move, TtyInAScriptSaysTheNewTerminal) {
  Shell first("bash");
  SecondTerminal second;
  write_file(scratch("script"),
             "echo ready $$\nwhile read -r line; do tty; echo \"to $line\" > /dev/tty; done\n");
  const pid_t pid = first.start("bash " + scratch("script"));
  ASSERT_TRUE(grabs_tree(second, first, pid));
  second.type("someone\r");
  EXPECT_TRUE(second.expect(terminal_of(pid) + "\r\n"));
  EXPECT_TRUE(second.expect("to someone\r\n"));
}

TEST_F(Move, TheWindowSizeIsThatOfTerminalTwo) {
  Shell first("bash");
  SecondTerminal second;
  write_file(scratch("script"), "echo ready $$\nwhile read -r line; do stty size; done\n");
  const pid_t pid = first.start("bash " + scratch("script"));
  ASSERT_TRUE(grabs_tree(second, first, pid));
  second.type("size\r");
  EXPECT_TRUE(second.expect("30 132\r\n"));
}

TEST_F(Move, TheExitStatusOfTheTreeIsThatOfGrab) {
  for (const int status : {0, 1, 42, 255}) {
    Shell first("bash");
    SecondTerminal second;
    const pid_t pid = first.start("tracee_zoo echo-lines");
    ASSERT_TRUE(grabs_tree(second, first, pid));
    second.type("exit " + std::to_string(status) + "\r");
    EXPECT_TRUE(second.expect_grab_ended(status));
  }
}

TEST_F(Move, TheExitStatusIsKnownWhenTheOldShellHasGoneAndSomebodyElseReaps) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo echo-lines");
  ASSERT_TRUE(grabs_tree(second, first, pid));
  ASSERT_TRUE(first.answers());
  first.run("exit");
  ASSERT_TRUE(wait_until([&] { return !is_alive(first.pid()); }));
  second.type("exit 42\r");
  EXPECT_TRUE(second.expect_grab_ended(42));
}

TEST_F(Move, ATreeKilledByASignalGivesTheStatusThatShellsGive) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo echo-lines");
  ASSERT_TRUE(grabs_tree(second, first, pid));
  second.type("kill TERM\r");
  EXPECT_TRUE(second.expect_grab_ended(128 + SIGTERM));
}

TEST_F(Move, GrabSaysThatTheTreeEndedAndLeavesTerminalTwoAsItWas) {
  Shell first("bash");
  SecondTerminal second;
  const std::string before = second.output_of("stty -a");
  const pid_t pid = first.start("tracee_zoo echo-lines");
  ASSERT_TRUE(grabs_tree(second, first, pid));
  second.type("exit 0\r");
  ASSERT_TRUE(second.expect("end"));
  ASSERT_TRUE(second.expect_grab_ended(0));
  EXPECT_EQ(second.output_of("stty -a"), before);
  EXPECT_EQ(second.foreground_pgid(), read_stat(second.pid())->pgid);
  EXPECT_THAT(second.transcript(), HasSubstr("grab: "));
}

TEST_F(Move, LastOutputOfAProgramThatEndsAtOnceIsShown) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo count 300000");
  ASSERT_TRUE(grabs_tree(second, first, pid));
  // A test that reads too slowly has them drawn, as the last lines of the screen.
  ASSERT_TRUE(second.expect("n00300000\r\ncounted all", Duration{30'000}));
  EXPECT_TRUE(second.expect_grab_ended(0));
}

TEST_F(Move, ATreeCanBeMovedAgain) {
  Shell first("bash");
  SecondTerminal second;
  SecondTerminal third;
  const pid_t root =
      first.start_job("bash -c 'tracee_zoo count 100000000 20000 & exec tracee_zoo echo-lines'", 2);
  const auto flags = flags_of(root);
  const auto follower_flags = flags_of(descendants_of(root).at(0));
  ASSERT_TRUE(grabs_tree(second, first, root));
  ASSERT_TRUE(second.echoes("one"));
  EXPECT_EQ(flags_of(root), flags);
  EXPECT_EQ(flags_of(descendants_of(root).at(0)), follower_flags);
  const std::string middle = terminal_of(root);
  third.grab_tree(root);
  ASSERT_TRUE(third.expect("is shown as tracee_zoo." + std::to_string(root)));
  ASSERT_TRUE(third.expect_grab_ended(125));
  third.grab_tree(root, "--force");
  ASSERT_TRUE(wait_until([&] { return fds_on(root, middle).empty() && !is_traced(root); }))
      << all_transcripts();
  EXPECT_TRUE(third.echoes("two"));
  EXPECT_TRUE(third.expect("n0"));
}

TEST_F(Move, SpeedsByNumberAndTheLockOfModesGoAlong) {
  const bool root = ::geteuid() == 0;  // who alone may lock modes
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start(std::string("tracee_zoo line-modes") + (root ? " locked" : ""));
  ASSERT_THAT(first.transcript(), HasSubstr("speeds 12345 and 54321 by number, extproc"));
  ASSERT_TRUE(grabs_tree(second, first, pid));
  second.type("modes\r");
  // The relay does not edit lines, which EXTPROC would ask for: the kernel does.
  EXPECT_TRUE(second.expect("speeds 12345 and 54321 by number, no extproc"));
  EXPECT_TRUE(second.expect(root ? ", locked, kill 7;" : ", not locked, kill 7;"));
  second.type("wrong\x07right\r");
  EXPECT_TRUE(second.expect("got: right"));
  EXPECT_TRUE(first.answers());
}

}  // namespace
}  // namespace grab::test
