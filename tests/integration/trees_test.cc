// SPDX-License-Identifier: MIT
// Trees of every shape that users run: scripts with children, make, pipelines, sessions of their
// own, threads, storms of short-lived children, zombies; and login shells with all their jobs.
#include <signal.h>
#include <unistd.h>

#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "support/grab_test.h"

namespace grab::test {
namespace {

using testing::HasSubstr;
using testing::Not;

class Trees : public GrabTest {};
class TreesFromShell : public EveryShell {};

INSTANTIATE_TEST_SUITE_P(Of, TreesFromShell, testing::Values("bash", "zsh", "fish", "dash"),
                         [](const auto& shell) { return shell.param; });

TEST_P(TreesFromShell, AScriptWithChildrenIsMovedWhole) {
  Shell first(GetParam());
  SecondTerminal second;
  write_file(scratch("script"),
             "tracee_zoo count 100000000 20000 &\n(tracee_zoo catch-and-wait INT; true) &\n"
             "tracee_zoo echo-lines\necho script status $?\n");
  const pid_t root = first.start_job("bash " + scratch("script"), 3);
  const auto tree = tree_of(root);
  ASSERT_GE(tree.size(), 5U);
  ASSERT_TRUE(grabs_tree(second, first, root));
  for (const pid_t pid : tree)
    EXPECT_TRUE(is_alive(pid));
  EXPECT_TRUE(second.echoes("hello"));
  EXPECT_TRUE(second.expect("n0"));
  second.type("exit 5\r");
  EXPECT_TRUE(second.expect("script status 5"));
}

TEST_P(TreesFromShell, APipelineIsOneJobWhicheverOfItsProcessesIsNamed) {
  for (const char* named : {"count", "cat", "sed"}) {
    Shell first(GetParam());
    SecondTerminal second;
    first.run("tracee_zoo count 100000000 20000 | cat | sed -u s/n/line/");
    ASSERT_TRUE(first.expect("line0000000"));
    const pid_t leader = first.foreground_pgid();
    std::vector<pid_t> members = members_of_group(leader);
    ASSERT_EQ(members.size(), 3U);
    const std::string comm = named == std::string("count") ? "tracee_zoo" : named;
    const pid_t pid = first.wait_for_program(comm);
    second.grab_tree(pid);
    ASSERT_TRUE(have_left(first, members)) << named;
    ASSERT_TRUE(first.expect("shell> ")) << named;
    ASSERT_TRUE(first.answers()) << named;
    ASSERT_TRUE(second.expect("line0000")) << named;
    for (const pid_t member : members)
      EXPECT_TRUE(is_alive(member)) << named;
  }
}

TEST_F(Trees, AParallelMakeGoesOnToItsEnd) {
  if (!installed("make"))
    GTEST_SKIP() << "make is not installed";
  Shell first("bash");
  SecondTerminal second;
  const std::string go = scratch("go");
  std::string makefile =
      "all: a b c d\n\techo built all\na b c d:\n\t@echo begin-$@ ; while [ ! -e " + go +
      " ]; do sleep 0.02; done; tty; echo built-$@\n";
  write_file(scratch("Makefile"), makefile);
  first.run("make -j4 -f " + scratch("Makefile") + " -C " + scratch_folder());
  for (int i = 0; i < 4; ++i)
    ASSERT_TRUE(first.expect("begin-"));
  const pid_t make = first.wait_for_program("make");
  ASSERT_TRUE(grabs_tree(second, first, make));
  write_file(go, "");
  EXPECT_TRUE(second.expect("built all"));
  EXPECT_TRUE(second.expect_grab_ended(0));
  for (const char* target : {"a", "b", "c", "d"})
    EXPECT_THAT(second.transcript(), HasSubstr(std::string("built-") + target));
}

TEST_F(Trees, APythonReplKeepsItsStateAndItsLineEditing) {
  if (!installed("python3"))
    GTEST_SKIP() << "python3 is not installed";
  Shell first("bash");
  SecondTerminal second;
  first.run("python3 -q");
  ASSERT_TRUE(first.expect(">>> "));
  first.type("x = 6\r");
  ASSERT_TRUE(first.expect(">>> "));
  const pid_t pid = first.wait_for_program("python3");
  ASSERT_TRUE(grabs_tree(second, first, pid));
  second.type(
      "print('it is', x*8\x7f"
      "7)\r");
  EXPECT_TRUE(second.expect("it is 42"));
  EXPECT_TRUE(second.expect(">>> "));
  second.type("\x1b[A\r");  // the line before
  EXPECT_TRUE(second.expect("it is 42"));
  second.type("exit(9)\r");
  EXPECT_TRUE(second.expect_grab_ended(9));
}

TEST_F(Trees, AShellInTheTreeGoesOnWithItsOwnJobs) {
  Shell first("bash");
  SecondTerminal second;
  // An inner interactive shell: the job of the outer one.
  first.run("bash --norc -i");
  ASSERT_TRUE(first.expect_prompt());
  ASSERT_TRUE(first.answers());
  const pid_t inner = first.wait_for_program("bash");
  const pid_t job = first.start("tracee_zoo echo-lines");
  ASSERT_TRUE(grabs_tree(second, first, inner));
  EXPECT_TRUE(second.echoes("hello"));
  EXPECT_TRUE(is_alive(job));
  second.type("exit 0\r");
  EXPECT_TRUE(second.expect("shell> "));
  EXPECT_TRUE(second.answers());
}

TEST_F(Trees, ADescendantInASessionOfItsOwnGoesAlong) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo own-session");
  const pid_t other = descendants_of(pid).at(0);
  ASSERT_EQ(read_stat(other)->sid, other);
  ASSERT_TRUE(grabs_tree(second, first, pid));
  EXPECT_EQ(terminal_of(other), terminal_of(pid));
  EXPECT_EQ(read_stat(other)->sid, other);
  EXPECT_TRUE(second.echoes("hello"));
}

TEST_F(Trees, AProgramWithManyThreadsIsMoved) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo threads 2");
  ASSERT_TRUE(grabs_tree(second, first, pid));
  EXPECT_TRUE(second.echoes("hello"));
  second.type("spins\r");
  EXPECT_TRUE(second.expect("still spinning"));
}

TEST_F(Trees, AProgramWhoseMainThreadHasEndedIsMoved) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo dead-leader");
  second.grab_tree(pid);
  EXPECT_TRUE(second.echoes("hello"));
}

// Its memory is opened for each use then, and its main thread has none any more.
TEST_F(Trees, AProgramWhoseMainThreadHasEndedIsMovedByAGrabThatMayOpenLittle) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo dead-leader");
  second.run("(ulimit -n 32; exec grab --tree " + std::to_string(pid) + ")");
  ASSERT_TRUE(second.expect("grab: moved"));
  EXPECT_TRUE(second.echoes("hello"));
}

TEST_F(Trees, ProcessesThatComeAndGoDuringTheMoveAreNotLost) {
  for (const char* storm : {"fork-storm", "vfork-brief"}) {
    Shell first("bash");
    SecondTerminal second;
    const pid_t pid = first.start(std::string("tracee_zoo ") + storm);
    second.grab_tree(pid);
    ASSERT_TRUE(has_left(first, pid)) << storm;
    // The program may not have had a processor to start any when it is asked first.
    EXPECT_TRUE(wait_until([&] {
      second.type("check\r");
      return static_cast<bool>(second.expect("storm: some started, 0 lost", Duration{500}));
    })) << storm
        << all_transcripts();
    EXPECT_TRUE(second.echoes("hello")) << storm;
  }
}

TEST_F(Trees, AProcessThatReplacesItsProgramAllTheTimeIsMoved) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo exec-storm");
  const auto tree = tree_of(pid);
  second.grab_tree(pid);
  ASSERT_TRUE(have_left(first, tree));
  second.type("check\r");
  EXPECT_TRUE(second.expect("storm goes on"));
}

TEST_F(Trees, AZombieThatStaysKeepsRootInItsSessionAndItsStatusIsNotStolen) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo zombie-parent");
  second.grab_tree(pid);
  ASSERT_TRUE(wait_until([&] { return fds_on(pid, first.path()).empty() && !is_traced(pid); }))
      << all_transcripts();
  EXPECT_TRUE(second.echoes("hello"));
  EXPECT_EQ(read_stat(pid)->sid, first.pid());
  EXPECT_EQ(read_stat(pid)->tty, 0U);
  second.type("reap\r");
  EXPECT_TRUE(second.expect("reaped 7"));
}

TEST_F(Trees, ZombiesThatAreReapedInAMomentHinderNothing) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo brief-zombie");
  second.grab_tree(pid);
  ASSERT_TRUE(has_left(first, pid));
  EXPECT_TRUE(second.echoes("hello"));
}

TEST_F(Trees, WithKeepSessionTheRelayDoesTheSignals) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t root =
      first.start_job("bash -c 'tracee_zoo catch-and-wait INT & exec tracee_zoo catch INT'", 2);
  const auto tree = tree_of(root);
  ASSERT_TRUE(grabs_tree(second, first, root, "--keep-session"));
  EXPECT_EQ(read_stat(root)->sid, first.pid());
  ASSERT_TRUE(second.echoes("hello"));
  second.type("\x03");
  for (const pid_t pid : tree) {
    EXPECT_TRUE(wait_until([&] {
      return second.transcript().find("caught INT " + std::to_string(pid)) != std::string::npos;
    })) << all_transcripts();
  }
  EXPECT_TRUE(first.answers());
}

TEST_F(Trees, ANameWithParenthesesAndSpacesIsNoTrap) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo comm 'a) R 1 (b'");
  ASSERT_EQ(read_stat(pid)->comm, "a) R 1 (b");
  ASSERT_TRUE(grabs_tree(second, first, pid));
  EXPECT_TRUE(second.echoes("hello"));
}

TEST_F(Trees, EscapeSequencesInANameDoNotReachTheTerminal) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo comm $'\\e]0;x\\a\\n'");
  ASSERT_TRUE(grabs_tree(second, first, pid));
  EXPECT_TRUE(second.echoes("hello"));
  EXPECT_THAT(second.transcript(), Not(HasSubstr("\x1b]0;x")));
}

TEST_F(Trees, OneProcessAloneIsMovedWithoutTree) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo echo-lines");
  second.grab(std::to_string(pid));
  ASSERT_TRUE(has_left(first, pid));
  EXPECT_TRUE(second.echoes("hello"));
  second.type("exit 4\r");
  EXPECT_TRUE(second.expect_grab_ended(4));
}

class LoginShell : public EveryShell {};

INSTANTIATE_TEST_SUITE_P(Of, LoginShell, testing::Values("bash", "zsh", "fish", "dash"),
                         [](const auto& shell) { return shell.param; });

TEST_P(LoginShell, IsMovedWithAllItsJobsAndItsJobControlWorks) {
  Shell first(GetParam(), {.login = true});
  SecondTerminal second;
  const pid_t background = first.start("tracee_zoo catch-and-wait TERM HUP &");
  const pid_t stopped = first.start("tracee_zoo catch TERM HUP CONT");
  first.type("\x1a");
  ASSERT_TRUE(wait_until([&] { return is_stopped(stopped); }));
  ASSERT_TRUE(first.answers());
  ASSERT_TRUE(grabs_tree(second, first, first.pid()));
  EXPECT_EQ(read_stat(first.pid())->sid, first.pid());
  ASSERT_TRUE(second.answers());
  EXPECT_TRUE(is_stopped(stopped));
  EXPECT_TRUE(is_alive(background));
  second.run("fg");
  ASSERT_TRUE(wait_until([&] { return !is_stopped(stopped); })) << all_transcripts();
  ASSERT_TRUE(second.echoes("in front"));
  second.type("\x1a");
  ASSERT_TRUE(wait_until([&] { return is_stopped(stopped); })) << all_transcripts();
  ASSERT_TRUE(second.answers());
  EXPECT_THAT(second.transcript(), Not(HasSubstr("caught HUP")));
  const pid_t later = second.start("tracee_zoo echo-lines");
  EXPECT_EQ(terminal_of(later), terminal_of(first.pid()));
  second.type("\x03");
  ASSERT_TRUE(second.expect_prompt());
  ASSERT_TRUE(second.answers());
  EXPECT_FALSE(is_alive(later));
}

TEST_P(LoginShell, IsMovedWhileAJobIsInTheForeground) {
  Shell first(GetParam(), {.login = true});
  SecondTerminal second;
  const pid_t job = first.start("tracee_zoo catch HUP CONT");
  ASSERT_TRUE(grabs_tree(second, first, first.pid()));
  ASSERT_TRUE(second.echoes("hello"));
  EXPECT_THAT(second.transcript(), Not(HasSubstr("caught")));
  EXPECT_EQ(read_stat(first.pid())->tpgid, read_stat(job)->pgid);
  second.type("exit 0\r");
  ASSERT_TRUE(second.expect("shell> "));
  EXPECT_TRUE(second.answers());
}

TEST_P(LoginShell, EndsWithItsOwnStatusAfterTheMove) {
  Shell first(GetParam(), {.login = true});
  SecondTerminal second;
  ASSERT_TRUE(grabs_tree(second, first, first.pid()));
  ASSERT_TRUE(second.answers());
  second.run("exit 6");
  EXPECT_TRUE(second.expect_grab_ended(6));
}

}  // namespace
}  // namespace grab::test
