// SPDX-License-Identifier: MIT
// Bad input: one clear sentence, the documented exit status, and nothing changed.
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <regex>
#include <string>

#include <gmock/gmock.h>

#include "support/grab_test.h"

namespace grab::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

constexpr int kUsage = 2;
constexpr int kTimedOut = 124;
constexpr int kNoProcess = 127;

class Refusals : public GrabTest {};

// One sentence for people, perhaps with one hint, and no more.
testing::AssertionResult is_one_sentence(const SecondTerminal::Outcome& outcome) {
  static const std::regex form("grab: [^\r\n]+\r\n(hint: [^\r\n]+\r\n)?");
  if (std::regex_match(std::regex_replace(outcome.text, std::regex("\x1b\\[\\?2004[hl]\r?"), ""),
                       form))
    return testing::AssertionSuccess();
  return testing::AssertionFailure() << "not one sentence and a hint:\n" << outcome.text;
}

void expect_refused(const SecondTerminal::Outcome& outcome, int status, const std::string& word) {
  EXPECT_EQ(outcome.status, status) << outcome.text;
  EXPECT_TRUE(is_one_sentence(outcome));
  EXPECT_THAT(outcome.text, HasSubstr(word));
}

std::string both_forms(pid_t pid) {
  return "--tree " + std::to_string(pid);
}

// A process id that nobody has.
pid_t free_pid() {
  for (pid_t pid = 4'000'000; pid > 1; --pid) {
    if (!read_stat(pid))
      return pid;
  }
  return 0;
}

TEST_F(Refusals, OfAPidThatNobodyHas) {
  SecondTerminal second;
  const std::string pid = std::to_string(free_pid());
  expect_refused(second.grab_and_wait("--tree " + pid), kNoProcess, pid);
  expect_refused(second.grab_and_wait(pid), kNoProcess, pid);
}

TEST_F(Refusals, OfWhatIsNoPid) {
  SecondTerminal second;
  for (const char* word : {"0", "-1", "-4711", "make", "12x", "''", "99999999999999999999",
                           "4194305", "1.5", "0x10", "'1 2'"})
    expect_refused(second.grab_and_wait(std::string("--tree ") + word), kUsage, "grab: ");
}

TEST_F(Refusals, OfNoPidTwoPidsAndUnknownOptions) {
  SecondTerminal second;
  for (const char* arguments : {"", "--tree", "1 2", "--tree 1 2", "--no-such-option 1",
                                "--timeout", "--timeout x 1", "--timeout -1 1", "--json"})
    EXPECT_EQ(second.grab_and_wait(arguments).status, kUsage) << arguments;
}

TEST_F(Refusals, OfProcessOne) {
  SecondTerminal second;
  const auto outcome = second.grab_and_wait("--tree 1");
  EXPECT_THAT(outcome.status, testing::AnyOf(kFailed, kPermission)) << outcome.text;
  EXPECT_TRUE(is_one_sentence(outcome));
  EXPECT_THAT(outcome.text, StartsWith("\x1b[?2004l\rgrab: 1 "));
}

TEST_F(Refusals, OfAKernelThread) {
  const auto kthreadd = read_stat(2);
  if (!kthreadd || kthreadd->comm != "kthreadd")
    GTEST_SKIP() << "no kernel thread is seen in this pid namespace";
  SecondTerminal second;
  expect_refused(second.grab_and_wait("--tree 2"), kFailed, "kernel thread");
}

TEST_F(Refusals, OfAZombie) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t parent = first.start("tracee_zoo zombie-parent");
  const pid_t zombie = descendants_of(parent).at(0);
  ASSERT_TRUE(is_zombie(zombie));
  const Unchanged unchanged(first, tree_of(first.pid()));
  expect_refused(second.grab_and_wait(both_forms(zombie)), kFailed, std::to_string(zombie));
  EXPECT_TRUE(unchanged.holds());
}

TEST_F(Refusals, OfGrabItself) {
  SecondTerminal second;
  // exec keeps the pid of the shell that names itself.
  const auto outcome = [&](const std::string& options) {
    second.skip_shown();
    second.run("sh -c 'exec grab " + options + " $$'; echo \"[status $?]\"");
    EXPECT_TRUE(second.expect("[status 125]"));
    EXPECT_THAT(second.transcript(), HasSubstr("grab itself"));
  };
  outcome("--tree");
  outcome("");
}

TEST_F(Refusals, OfAnAncestorOfGrab) {
  SecondTerminal second;
  const Unchanged unchanged(second, {second.pid()});
  expect_refused(second.grab_and_wait(both_forms(second.pid())), kFailed, "ancestor");
  EXPECT_TRUE(unchanged.holds());
  EXPECT_TRUE(second.answers());
}

TEST_F(Refusals, OfTheProcessThatHoldsTheTerminalOfGrab) {
  SecondTerminal second;
  // This test process holds the ptmx of terminal 2, and is an ancestor too.
  const auto outcome = second.grab_and_wait(both_forms(::getpid()));
  EXPECT_THAT(outcome.status, testing::AnyOf(kFailed, kPermission)) << outcome.text;
  EXPECT_TRUE(is_one_sentence(outcome));
  EXPECT_TRUE(second.answers());
}

TEST_F(Refusals, OfTheTmuxServerThatGrabRunsIn) {
  if (!installed("tmux"))
    GTEST_SKIP() << "tmux is not installed";
  Shell first("bash");
  SecondTerminal second;
  const std::string tmux = "tmux -f /dev/null -S " + scratch("tmux") + " ";
  // A server that is no ancestor of the shell in terminal 2, whose window runs a grab of it.
  first.run(tmux + "new-session -d -s s 'sh -c \"sleep 1000\"' ; " + tmux +
            "display-message -p 'ready #{pid}'");
  const auto server = static_cast<pid_t>(first.expect_number("ready "));
  first.run(tmux + "new-window 'grab --tree " + std::to_string(server) + " > " + scratch("out") +
            " 2>&1; echo status $? >> " + scratch("out") + "'");
  ASSERT_TRUE(wait_until([&] {
    return exists(scratch("out")) && read_file(scratch("out")).find("status ") != std::string::npos;
  })) << all_transcripts();
  EXPECT_THAT(read_file(scratch("out")),
              AllOf(HasSubstr(std::to_string(server)), HasSubstr("status 125\n")));
  EXPECT_TRUE(is_alive(server));
  ::kill(server, SIGTERM);
}

TEST_F(Refusals, OfAnotherUsersProcess) {
  if (::geteuid() == 0)
    GTEST_SKIP() << "root may grab the processes of every user";
  // Only root can start it: tools/test does, and names it.
  const char* named = std::getenv("GRAB_TEST_OTHERS_PROCESS");
  const pid_t other = named == nullptr ? 0 : std::atoi(named);
  if (other == 0)
    GTEST_SKIP() << "nobody has started a process of another user";
  SecondTerminal second;
  const auto outcome = second.grab_and_wait(both_forms(other));
  EXPECT_EQ(outcome.status, kPermission) << outcome.text;
  EXPECT_TRUE(is_one_sentence(outcome));
}

TEST_F(Refusals, OfAProcessThatKeepsOthersOut) {
  if (::geteuid() == 0)
    GTEST_SKIP() << "PR_SET_DUMPABLE keeps nobody out who is root";
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo undumpable");
  expect_refused(second.grab_and_wait(both_forms(pid)), kPermission, std::to_string(pid));
  first.type("hello\r");
  EXPECT_TRUE(first.expect("got: hello"));
}

TEST_F(Refusals, OfATracedProcessNameTheTracer) {
  if (!installed("strace") && !installed("gdb"))
    GTEST_SKIP() << "neither strace nor gdb is installed";
  Shell first("bash");
  SecondTerminal second;
  Shell third("bash", {.name = "terminal 3"});
  const pid_t pid = first.start("tracee_zoo echo-lines");
  if (installed("strace"))
    third.run("strace -o /dev/null -p " + std::to_string(pid));
  else
    third.run("gdb -q -nx -p " + std::to_string(pid) + " -ex continue");
  ASSERT_TRUE(wait_until([&] { return is_traced(pid); })) << all_transcripts();
  const std::string tracer = status_field(pid, pid, "TracerPid");
  const auto outcome = second.grab_and_wait(both_forms(pid));
  EXPECT_THAT(outcome.status, testing::AnyOf(kFailed, kPermission)) << outcome.text;
  EXPECT_TRUE(is_one_sentence(outcome));
  EXPECT_THAT(outcome.text, AllOf(HasSubstr("traced"), HasSubstr(tracer)));
  EXPECT_EQ(status_field(pid, pid, "TracerPid"), tracer);
}

TEST_F(Refusals, OfASeccompFilterUnlessForced) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo seccomp allow");
  const Unchanged unchanged(first, tree_of(pid));
  const auto outcome = second.grab_and_wait(both_forms(pid));
  expect_refused(outcome, kFailed, "seccomp");
  EXPECT_THAT(outcome.text, HasSubstr("--force"));
  EXPECT_TRUE(unchanged.holds());
  ASSERT_TRUE(grabs_tree(second, first, pid, "--force"));
  EXPECT_TRUE(second.echoes("hello"));
}

TEST_F(Refusals, OfAFilterThatForbidsTheMoveLeavesAllAsItWas) {
  if (::geteuid() == 0)
    GTEST_SKIP() << "root suspends the filter";
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo seccomp deny-setsid");
  const Unchanged unchanged(first, tree_of(pid));
  const auto outcome = second.grab_and_wait("--force " + both_forms(pid));
  EXPECT_THAT(outcome.status, testing::AnyOf(kFailed, kPermission)) << outcome.text;
  EXPECT_TRUE(is_one_sentence(outcome));
  EXPECT_TRUE(unchanged.holds());
  first.type("hello\r");
  EXPECT_TRUE(first.expect("got: hello"));
}

TEST_F(Refusals, OfAFilterIsNoneForRootWhoForcesItAndItIsInForceAgainAfterwards) {
  if (::geteuid() != 0)
    GTEST_SKIP() << "only root can suspend a filter";
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo seccomp kill");
  const auto outcome = second.grab_and_wait(both_forms(pid));
  expect_refused(outcome, kFailed, "suspends the filter");
  ASSERT_TRUE(grabs_tree(second, first, pid, "--force"));
  ASSERT_TRUE(second.echoes("hello"));
  second.type("report\r");  // it asks for its terminal by an ioctl(2)
  EXPECT_TRUE(second.expect_grab_ended(128 + SIGSYS));
}

TEST_F(Refusals, OfSyscallUserDispatch) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo user-dispatch");
  const Unchanged unchanged(first, tree_of(pid));
  const auto outcome = second.grab_and_wait(both_forms(pid));
  expect_refused(outcome, kFailed, "PR_SET_SYSCALL_USER_DISPATCH");
  EXPECT_TRUE(unchanged.holds());
  first.type("hello\r");
  EXPECT_TRUE(first.expect("got: hello"));
}

TEST_F(Refusals, OfAVforkThatDoesNotEnd) {
  Shell first("bash");
  SecondTerminal second;
  const std::string fifo = scratch("fifo");
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  const pid_t pid = first.start("tracee_zoo vfork-slow " + fifo);
  ASSERT_TRUE(wait_until([&] { return read_stat(pid)->state == 'D'; }));
  const Unchanged unchanged(first, tree_of(pid));
  const auto outcome = second.grab_and_wait("--timeout 0.3 " + both_forms(pid));
  expect_refused(outcome, kTimedOut, std::to_string(pid));
  EXPECT_TRUE(unchanged.holds());
  write_file(fifo, "x");
  ASSERT_TRUE(first.expect("vfork is over"));
  first.type("hello\r");
  EXPECT_TRUE(first.expect("got: hello"));
}

TEST_F(Refusals, OfNoTerminalUnlessForced) {
  Shell first("bash");
  SecondTerminal second;
  const std::string file = scratch("lines");
  const pid_t pid = first.start("tracee_zoo no-terminal " + file);
  ASSERT_TRUE(wait_until([&] { return exists(file) && !read_file(file).empty(); }));
  const auto outcome = second.grab_and_wait(both_forms(pid));
  expect_refused(outcome, kFailed, "no terminal");
  EXPECT_THAT(outcome.text, HasSubstr("--force-stdio"));
  EXPECT_TRUE(is_alive(pid));
  second.grab_tree(pid, "--force-stdio");
  EXPECT_TRUE(second.expect("line "));
  EXPECT_TRUE(is_alive(pid));
  EXPECT_THAT(terminal_of(pid), StartsWith("/dev/pts/"));
}

TEST_F(Refusals, OfNoFreeDescriptor) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo fd-exhausted");
  const Unchanged unchanged(first, tree_of(pid));
  const auto outcome = second.grab_and_wait(both_forms(pid));
  expect_refused(outcome, kFailed, "descriptor");
  EXPECT_TRUE(unchanged.holds());
  first.type("hello\r");
  EXPECT_TRUE(first.expect("got: hello"));
}

TEST_F(Refusals, OfAGrabWithoutATerminal) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo echo-lines");
  const Unchanged unchanged(first, tree_of(pid));
  const std::string out = scratch("out");
  second.run("setsid -w grab " + both_forms(pid) + " < /dev/null > " + out +
             " 2>&1; echo \"[status $?]\"");
  ASSERT_TRUE(second.expect("[status 125]"));
  EXPECT_THAT(read_file(out),
              AllOf(StartsWith("grab: "), HasSubstr("terminal"), HasSubstr("--detached")));
  EXPECT_TRUE(unchanged.holds());
}

TEST_F(Refusals, OfOneProcessThatHasDescendantsNameTheTreeOption) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start_job(
      "bash -c 'tracee_zoo catch-and-wait INT & exec tracee_zoo "
      "echo-lines'",
      2);
  const Unchanged unchanged(first, tree_of(pid));
  const auto outcome = second.grab_and_wait(std::to_string(pid));
  expect_refused(outcome, kFailed, "--tree " + std::to_string(pid));
  EXPECT_TRUE(unchanged.holds());
}

TEST_F(Refusals, OfOneProcessOfAPipelineNameTheTreeOption) {
  Shell first("bash");
  SecondTerminal second;
  first.run("tracee_zoo count 100000000 20000 | cat");
  ASSERT_TRUE(first.expect("n0"));
  const pid_t pid = first.wait_for_program("cat");
  const Unchanged unchanged(first, members_of_group(first.foreground_pgid()));
  const auto outcome = second.grab_and_wait(std::to_string(pid));
  expect_refused(outcome, kFailed, "--tree " + std::to_string(pid));
  EXPECT_TRUE(unchanged.holds());
}

}  // namespace
}  // namespace grab::test
