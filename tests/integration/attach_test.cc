// SPDX-License-Identifier: MIT
// Leaving a tree and coming back to it: the detach key in all its forms, windows that close,
// viewers that are killed, and the ways to name what is to be shown.
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <string>

#include <gmock/gmock.h>

#include "support/grab_test.h"
#include "support/viewing.h"

namespace grab::test {
namespace {

using testing::HasSubstr;
using testing::Not;

class Attach : public GrabTest {};

TEST_F(Attach, TheDetachKeyGivesTheShellItsPromptAndSaysHowToComeBack) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo echo-lines");
  const std::string name = "tracee_zoo." + std::to_string(pid);
  ASSERT_TRUE(grabs_tree(second, first, pid));
  ASSERT_TRUE(second.expect("; ^\\ detaches"));
  ASSERT_TRUE(second.echoes("before"));
  ASSERT_TRUE(detaches(second, name));
  EXPECT_TRUE(is_alive(pid));

  ASSERT_TRUE(attaches(second, name));
  ASSERT_TRUE(second.expect("got: before")) << "the screen is not shown";
  ASSERT_TRUE(second.echoes("after"));
  second.type("exit 3\r");
  EXPECT_TRUE(second.expect("ended with status 3"));
  EXPECT_TRUE(second.expect_grab_ended(3));
}

TEST_F(Attach, TheDetachKeyTypedTwiceGoesToTheProgram) {
  SecondTerminal second;
  const pid_t pid = runs(second, "tracee_zoo catch QUIT");
  second.type("\x1c\x1c");
  ASSERT_TRUE(second.expect("caught QUIT " + std::to_string(pid)));
  second.type("\x1c");
  second.type("\x1c");
  ASSERT_TRUE(second.expect("caught QUIT " + std::to_string(pid)));
  second.type("\x1c\x1cnext\r");
  ASSERT_TRUE(second.expect("caught QUIT " + std::to_string(pid)));
  EXPECT_TRUE(second.expect("got: next"));
}

// What the shell gets must be the whole line: "rm x" of "farm x" is another command.
TEST_F(Attach, WhatIsTypedRightBehindTheDetachKeyIsTheShells) {
  SecondTerminal second;
  const pid_t pid = runs(second, "tracee_zoo echo-lines", "--name tree");
  second.skip_shown();
  second.type("\x1c");
  for (const char key : std::string("echo mi''ne\r"))
    second.type(std::string_view(&key, 1));
  ASSERT_TRUE(second.expect("detached from tree"));
  EXPECT_TRUE(second.expect("mine\r\n"));
  ASSERT_TRUE(second.answers());

  ASSERT_TRUE(attaches(second));
  second.skip_shown();
  second.type(
      "\x1c"
      "echo mi''ne too\r");
  ASSERT_TRUE(second.expect("detached from tree"));
  EXPECT_TRUE(second.expect("mine too\r\n"));
  EXPECT_TRUE(second.answers());
  EXPECT_TRUE(is_alive(pid));
  EXPECT_THAT(says(second, "peek tree").text, Not(HasSubstr("mine")));
}

TEST_F(Attach, AnotherDetachKeyCanBeChosenOrNone) {
  SecondTerminal second, third("terminal 3");
  const pid_t pid = runs(second, "tracee_zoo catch QUIT", "--name tree -e ^a");
  second.type("\x1c");
  ASSERT_TRUE(second.expect("caught QUIT " + std::to_string(pid)));
  ASSERT_TRUE(detaches(second, "tree", "\x01"));

  ASSERT_TRUE(attaches(second, "-e none"));
  second.type("\x1c");
  ASSERT_TRUE(second.expect("caught QUIT " + std::to_string(pid)));
  second.type("\x01\r");
  ASSERT_TRUE(second.expect("got: \x01"));
  EXPECT_EQ(says(third, "detach").status, 0);
  ASSERT_TRUE(second.expect("detached from tree by grab detach; come back with: grab attach tree"));
  EXPECT_TRUE(second.expect_grab_ended(0));
  EXPECT_TRUE(is_alive(pid));
}

TEST_F(Attach, TheDetachKeyIsKnownAsTheKittyProtocolSendsIt) {
  SecondTerminal second;
  // The program asks for the protocol, as neovim does, and leaves it on.
  const pid_t pid =
      runs(second, "bash -c 'printf \"\\033[>1u\"; exec tracee_zoo echo-lines'", "--name tree");
  second.type("\x1b[92;5u\x1b[92;5u\r");
  ASSERT_TRUE(second.expect("got: \x1b[92;5u\r\n"));
  ASSERT_TRUE(detaches(second, "tree", "\x1b[92;5u"));
  EXPECT_THAT(second.transcript(), HasSubstr("\x1b[<")) << "the shell is left with the protocol on";
  EXPECT_TRUE(is_alive(pid));
}

TEST_F(Attach, ClosingTheWindowHarmsNobodyAndTheTreeCanBeShownElsewhere) {
  Shell first("bash");
  SecondTerminal second, third("terminal 3");
  const pid_t pid = first.start("tracee_zoo catch HUP CONT TERM");
  ASSERT_TRUE(grabs_tree(second, first, pid));
  ASSERT_TRUE(second.echoes("before"));
  first.close_window();
  second.close_window();
  ASSERT_TRUE(wait_until([&] { return !is_alive(second.pid()); }));
  ASSERT_TRUE(attaches(third));
  ASSERT_TRUE(third.expect("got: before"));
  ASSERT_TRUE(third.echoes("after"));
  EXPECT_THAT(third.transcript(), Not(HasSubstr("caught")));
}

// dash sets no modes of its own at its prompt: what stty shows is what the relay has left.
TEST_F(Attach, AViewerThatIsKilledLeavesItsTerminalAsItWas) {
  SecondTerminal second;
  Shell third("dash", {.name = "terminal 3"});
  const pid_t pid = runs(second, "tracee_zoo fullscreen", "--name tree");
  const std::string before = third.output_of("stty -g");
  third.run("grab attach tree");
  ASSERT_TRUE(third.expect("\x1b[?1049h"));
  ASSERT_TRUE(wait_until([&] { return (third.modes().c_lflag & ISIG) == 0; }));
  ASSERT_EQ(::kill(third.wait_for_program("grab"), SIGKILL), 0);
  ASSERT_TRUE(third.expect("\x1b[?1049l"));
  ASSERT_TRUE(wait_until([&] { return (third.modes().c_lflag & ICANON) != 0; }))
      << "the modes are not restored";
  ASSERT_TRUE(third.answers());
  EXPECT_EQ(third.output_of("stty -g"), before);
  EXPECT_TRUE(is_alive(pid));
  second.type("k");
  EXPECT_TRUE(second.expect("key k"));
}

TEST_F(Attach, ATreeIsFoundByItsNameByItsPidAndWithoutOne) {
  SecondTerminal second, third("terminal 3");
  const pid_t older = runs(second, "tracee_zoo echo-lines", "--name older");
  ASSERT_TRUE(second.echoes("I am the older"));
  // The trees of the one who runs this test would be meant as well.
  const std::string list = says(third, "list").text;
  const bool no_others = std::count(list.begin(), list.end(), '\n') == 2;  // heading and one row
  ASSERT_TRUE(attaches(third, no_others ? "" : "older")) << "the only one";
  ASSERT_TRUE(third.expect("got: I am the older"));
  ASSERT_TRUE(detaches(third, "older"));
  // The age of trees is known to the second.
  (void)wait_until([&] { return third.output_of("date +%s") != third.output_of("date +%s"); });
  ASSERT_TRUE(runs_detached(third, "tracee_zoo echo-lines", "--name newer"));
  ASSERT_EQ(says(third, "send newer 'I am the newer\\r'").status, 0);

  const auto shows = [&](const std::string& target, const std::string& age) {
    if (auto attached = attaches(third, target); !attached)
      return attached;
    if (auto shown = third.expect("got: I am the " + age); !shown)
      return shown;
    return detaches(third, age);
  };
  EXPECT_TRUE(shows("older", "older"));
  EXPECT_TRUE(shows(std::to_string(older), "older"));
  EXPECT_TRUE(shows(no_others ? "" : "newer", "newer"));
  const auto none = says(third, "attach oth-er");
  EXPECT_EQ(none.status, 127);
  EXPECT_THAT(none.text, HasSubstr("there is no tree of the name or process id oth-er\n"
                                   "hint: there is newer, older"));
}

TEST_F(Attach, WhereThereIsNoTreeItSaysSo) {
  SecondTerminal second;
  for (const char* command :
       {"attach x", "peek x", "wait x", "detach x", "send x y", "signal x TERM"}) {
    const auto none = says(second, command);
    EXPECT_EQ(none.status, 127) << command;
    EXPECT_THAT(none.text, HasSubstr("there is no tree ")) << command;
    EXPECT_THAT(none.text, HasSubstr("hint: ")) << command;
  }
}

TEST_F(Attach, WhoOnlyLooksTypesNothingAndHasNoSayInTheSize) {
  SecondTerminal second, third("terminal 3", {20, 70});
  const pid_t pid = runs(second, "tracee_zoo catch WINCH INT", "--name tree");
  ASSERT_TRUE(second.echoes("hello"));
  ASSERT_TRUE(attaches(third, "-r tree"));
  ASSERT_TRUE(third.expect("got: hello"));
  third.type("nothing\r\x03\x1a");
  third.resize({25, 75});
  ASSERT_TRUE(detaches(third, "tree"));
  ASSERT_TRUE(second.echoes("goes on"));
  EXPECT_THAT(second.transcript(), Not(HasSubstr("nothing")));
  EXPECT_THAT(second.transcript(), Not(HasSubstr("caught")));
  EXPECT_FALSE(is_stopped(pid));
}

TEST_F(Attach, TheOthersAreSentAwayOnRequest) {
  SecondTerminal second, third("terminal 3"), fourth("terminal 4");
  (void)runs(second, "tracee_zoo echo-lines", "--name tree");
  ASSERT_TRUE(attaches(third, "tree"));
  ASSERT_TRUE(attaches(fourth, "-d tree"));
  for (SecondTerminal* other : {&second, &third}) {
    EXPECT_TRUE(other->expect("detached from tree by another viewer; come back with"));
    EXPECT_TRUE(other->expect_grab_ended(0));
    EXPECT_TRUE(other->answers());
  }
  EXPECT_TRUE(fourth.echoes("alone"));
}

TEST_F(Attach, ATreeIsNotShownOnItsOwnTerminal) {
  SecondTerminal second;
  second.grab("run --name tree -- bash --norc -i");
  ASSERT_TRUE(shows_a_tree(second));
  second.type("grab attach tree; echo \"[inner $?]\"\r");
  EXPECT_TRUE(second.expect("this terminal is the one that tree is on"));
  EXPECT_TRUE(second.expect("[inner 125]"));
  second.type("exit 4\r");
  EXPECT_TRUE(second.expect_grab_ended(4));
}

}  // namespace
}  // namespace grab::test
