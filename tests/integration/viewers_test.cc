// SPDX-License-Identifier: MIT
// Several terminals that show one tree: whose size counts, who is slow or stopped, ^Z, and a relay
// that is killed below them.
#include <fcntl.h>
#include <signal.h>
#include <termios.h>
#include <unistd.h>

#include <string>

#include <gmock/gmock.h>

#include "base/unique_fd.h"
#include "support/grab_test.h"
#include "support/viewing.h"

namespace grab::test {
namespace {

using testing::HasSubstr;
using testing::Not;

class Viewers : public GrabTest {};

// What ^S does to a terminal that is not in raw mode, or a connection that stalls.
class OutputStopped {
 public:
  explicit OutputStopped(const TerminalSession& terminal)
      : pts_(::open(terminal.path().c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC)) {
    (void)::tcflow(pts_.get(), TCOOFF);
  }
  ~OutputStopped() { (void)::tcflow(pts_.get(), TCOON); }
  OutputStopped(const OutputStopped&) = delete;
  OutputStopped& operator=(const OutputStopped&) = delete;

 private:
  UniqueFd pts_;
};

TEST_F(Viewers, AllSeeTheSameAndAllMayType) {
  Shell first("bash");
  SecondTerminal second, third("terminal 3"), fourth("terminal 4");
  const pid_t pid = first.start("tracee_zoo echo-lines");
  ASSERT_TRUE(grabs_tree(second, first, pid));
  ASSERT_TRUE(attaches(third));
  ASSERT_TRUE(attaches(fourth));
  int n = 0;
  for (SecondTerminal* typist : {&second, &third, &fourth}) {
    const std::string line = "line " + std::to_string(++n);
    ASSERT_TRUE(typist->echoes(line));
    for (SecondTerminal* other : {&second, &third, &fourth})
      EXPECT_TRUE(other == typist || other->expect("got: " + line + "\r\n"));
  }
  third.close_window();
  ASSERT_TRUE(detaches(second, "tracee_zoo." + std::to_string(pid)));
  ASSERT_TRUE(fourth.echoes("the last one"));
  fourth.type("exit 5\r");
  EXPECT_TRUE(fourth.expect_grab_ended(5));
}

testing::AssertionResult comes_to_show(const SecondTerminal& terminal, const std::string& text) {
  if (wait_until([&] { return terminal.unread().find(text) != std::string::npos; }))
    return testing::AssertionSuccess();
  return testing::AssertionFailure() << text << " is not shown\n" << all_transcripts();
}

TEST_F(Viewers, TheSizeIsThatOfTheOneThatTypedLast) {
  SecondTerminal second, third("terminal 3", {20, 90});
  (void)runs(second, "tracee_zoo catch WINCH", "--name tree");
  ASSERT_TRUE(attaches(third, "tree"));
  ASSERT_TRUE(second.expect("caught WINCH 20x90")) << "who has just come, counts";
  second.type("a\r");
  ASSERT_TRUE(comes_to_show(second, "caught WINCH 30x132"));
  ASSERT_TRUE(comes_to_show(second, "got: a"));
  third.resize({22, 92});
  ASSERT_TRUE(second.echoes("b"));
  EXPECT_THAT(second.transcript(), Not(HasSubstr("22x92"))) << "who has not typed, does not count";
  second.resize({33, 133});
  ASSERT_TRUE(second.expect("caught WINCH 33x133"));
  third.type("c\r");
  ASSERT_TRUE(second.expect("caught WINCH 22x92"));
  third.close_window();
  ASSERT_TRUE(second.expect("caught WINCH 33x133")) << "the one that is left";
}

TEST_F(Viewers, ASmallerWindowIsShownAPictureThatFits) {
  SecondTerminal second("terminal 2", {30, 132}), third("terminal 3", {10, 40});
  (void)runs(second, "tracee_zoo fullscreen", "--name tree");
  ASSERT_TRUE(attaches(third, "-r tree"));
  ASSERT_TRUE(third.expect("\x1b[?1049h"));
  ASSERT_TRUE(third.expect("FULL SCREEN 30x132"));
  second.type("k");
  ASSERT_TRUE(second.expect("key k"));
  EXPECT_TRUE(third.expect("key k"));
  third.resize({40, 140});
  ASSERT_TRUE(wait_until([&] {
    second.type("l");
    return static_cast<bool>(third.expect("key l\r\n", Duration{200}));
  })) << "it fits now, and gets every byte";
}

TEST_F(Viewers, AStoppedTerminalDoesNotHoldUpTheEndForTheOthers) {
  SecondTerminal second, third("terminal 3");
  const pid_t pid = runs(second, "tracee_zoo echo-lines", "--name tree");
  ASSERT_TRUE(attaches(third, "tree"));
  {
    const OutputStopped stopped(second);
    third.type("exit 7\r");
    ASSERT_TRUE(third.expect_grab_ended(7));
    ASSERT_TRUE(third.answers());
  }
  EXPECT_TRUE(second.expect_grab_ended(7));
  EXPECT_FALSE(is_alive(pid));
}

TEST_F(Viewers, WhatAStoppedTerminalMissesIsShownFromTheScreen) {
  SecondTerminal second, third("terminal 3");
  second.grab(
      "run --name tree -- bash -c 'read; tracee_zoo count 300000; exec tracee_zoo "
      "echo-lines'");
  ASSERT_TRUE(shows_a_tree(second));
  ASSERT_TRUE(attaches(third, "tree"));
  const std::size_t before = second.transcript().size();
  {
    const OutputStopped stopped(second);
    third.type("\r");
    ASSERT_TRUE(third.expect("counted all")) << "the other one is held up";
    ASSERT_TRUE(third.echoes("goes on"));
  }
  ASSERT_TRUE(second.expect("n00300000"));
  ASSERT_TRUE(second.expect("counted all"));
  ASSERT_TRUE(second.expect("got: goes on"));
  EXPECT_LT(second.transcript().size() - before, std::size_t{1'000'000}) << "of 3 MB";
  EXPECT_TRUE(second.echoes("up to date"));
}

TEST_F(Viewers, AViewerStoppedBySigstopDelaysNobodyAndIsBroughtUpToDateByFg) {
  SecondTerminal second, third("terminal 3");
  second.grab(
      "run --name tree -- bash -c 'read; tracee_zoo count 100000; exec tracee_zoo "
      "echo-lines'");
  ASSERT_TRUE(shows_a_tree(second));
  ASSERT_TRUE(attaches(third, "tree"));
  second.skip_shown();
  ASSERT_EQ(::kill(second.grab_pid(), SIGSTOP), 0);
  ASSERT_TRUE(second.expect_prompt()) << "its shell has the terminal";
  ASSERT_TRUE(second.answers());
  third.type("\r");
  ASSERT_TRUE(third.expect("counted all"));
  ASSERT_TRUE(third.echoes("goes on"));
  ASSERT_TRUE(second.answers());
  EXPECT_THAT(second.unread(), Not(HasSubstr("n000"))) << "the relay wrote to the shell's terminal";
  second.run("fg");
  ASSERT_TRUE(shows_a_tree(second));
  ASSERT_TRUE(second.expect("got: goes on"));
  ASSERT_TRUE(second.echoes("up to date"));
  EXPECT_TRUE(third.expect("got: up to date"));
}

TEST_F(Viewers, ControlZStopsTheTreeOnceAndEveryOneOfThemSaysSoAndFgGoesOn) {
  Shell first("bash");
  SecondTerminal second, third("terminal 3"), fourth("terminal 4");
  const pid_t root =
      first.start_job("bash -c 'tracee_zoo catch-and-wait CONT & exec tracee_zoo catch CONT'", 2);
  const auto tree = tree_of(root);
  ASSERT_EQ(tree.size(), 2U);
  ASSERT_TRUE(grabs_tree(second, first, root, "--name tree"));
  ASSERT_TRUE(attaches(third, "tree"));
  ASSERT_TRUE(attaches(fourth, "-r tree"));
  for (SecondTerminal* one : {&second, &third, &fourth})
    one->skip_shown();
  second.type("\x1a");
  ASSERT_TRUE(second.expect("is stopped; fg continues it"));
  ASSERT_TRUE(second.expect_prompt());
  for (const pid_t pid : tree)
    EXPECT_TRUE(wait_until([&] { return is_stopped(pid); }));
  ASSERT_TRUE(
      third.expect("was stopped by ^Z in another terminal; it goes on when a key is typed"));
  ASSERT_TRUE(fourth.expect("was stopped by ^Z in another terminal\r\n"));
  EXPECT_THAT(says(second, "list").text, HasSubstr(" stopped "));

  second.run("fg");
  ASSERT_TRUE(shows_a_tree(second));
  ASSERT_TRUE(second.echoes("after fg"));
  ASSERT_TRUE(third.expect("got: after fg"));
  ASSERT_TRUE(fourth.expect("got: after fg"));
  for (const pid_t pid : tree) {
    const std::string caught = "caught CONT " + std::to_string(pid);
    EXPECT_TRUE(wait_until([&] { return third.transcript().find(caught) != std::string::npos; }));
    const std::string shown = third.transcript();
    EXPECT_EQ(shown.find(caught), shown.rfind(caught)) << "it was stopped or continued twice";
  }
}

TEST_F(Viewers, AKeyInAnotherTerminalContinuesATreeThatControlZStopped) {
  SecondTerminal second, third("terminal 3");
  const pid_t pid = runs(second, "tracee_zoo echo-lines", "--name tree");
  ASSERT_TRUE(attaches(third, "tree"));
  second.type("\x1a");
  ASSERT_TRUE(second.expect_prompt());
  ASSERT_TRUE(third.expect("it goes on when a key is typed here"));
  ASSERT_TRUE(wait_until([&] { return is_stopped(pid); }));
  third.type(" ");
  ASSERT_TRUE(wait_until([&] { return !is_stopped(pid); }));
  ASSERT_TRUE(third.echoes("goes on")) << "the key that continues it is not for it";
  second.run("fg");
  ASSERT_TRUE(second.expect("got: goes on"));
  EXPECT_TRUE(second.echoes("here as well"));
}

TEST_F(Viewers, TheyGoOverToANewRelayWhenTheirsIsKilled) {
  SecondTerminal second, third("terminal 3");
  const pid_t pid = runs(second, "tracee_zoo echo-lines", "--name tree");
  ASSERT_TRUE(attaches(third, "tree"));
  ASSERT_TRUE(third.echoes("before"));
  ASSERT_EQ(::kill(process_named("grab-relay"), SIGKILL), 0);
  // What is typed while no relay is there waits in the terminal.
  EXPECT_TRUE(second.echoes("after"));
  EXPECT_TRUE(third.echoes("here too"));
  EXPECT_TRUE(is_alive(pid));
  ASSERT_EQ(::kill(process_named("grab-keeper"), SIGKILL), 0);
  EXPECT_TRUE(third.echoes("without the keeper"));
  (void)process_named("grab-keeper");  // another one
  second.type("exit 6\r");
  EXPECT_TRUE(second.expect_grab_ended(6));
  EXPECT_TRUE(third.expect_grab_ended(6));
}

}  // namespace
}  // namespace grab::test
