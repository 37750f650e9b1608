// SPDX-License-Identifier: MIT
// Descriptors: every one that was the old terminal becomes the new one, with its number, its flags
// and what it shares; epoll sets go on seeing keys.
#include <signal.h>
#include <unistd.h>

#include <map>
#include <regex>
#include <string>

#include <gmock/gmock.h>

#include "support/grab_test.h"

namespace grab::test {
namespace {

using testing::HasSubstr;
using testing::Not;

class Descriptors : public GrabTest {};

// What the fd-keeper says of its descriptors, with the terminal's name cut out.
struct Report {
  std::string text;
  std::string terminal;
};

Report ask(Shell& shell) {
  shell.type("fds\r");
  EXPECT_TRUE(shell.expect("fds end"));
  const std::string shown = shell.transcript();
  const auto start = shown.rfind("fd 0 flags");
  const std::string part = shown.substr(start, shown.rfind("fds end") - start);
  std::smatch found;
  EXPECT_TRUE(std::regex_search(part, found, std::regex("/dev/pts/[0-9]+")));
  Report report{{}, found.str()};
  report.text = std::regex_replace(part, std::regex(report.terminal + "\r"), "TERMINAL\r");
  // Before the move this one shows as what it was opened by.
  report.text = std::regex_replace(report.text, std::regex("/dev/tty\r"), "TERMINAL\r");
  return report;
}

TEST_F(Descriptors, KeepTheirNumbersFlagsAndWhatTheyShare) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo fd-keeper");
  const Report before = ask(first);
  ASSERT_EQ(before.terminal, first.path());
  ASSERT_THAT(before.text, HasSubstr("fd 1000 flags"));
  ASSERT_TRUE(grabs_tree(second, first, pid));
  second.skip_shown();
  const Report after = ask(second);
  EXPECT_EQ(after.text, before.text);
  EXPECT_EQ(after.terminal, terminal_of(pid));
  for (const pid_t one : tree_of(pid)) {
    for (const auto& [fd, facts] : fds_of(one))
      EXPECT_NE(facts.target, first.path()) << "descriptor " << fd << " of " << one;
  }
}

TEST_F(Descriptors, NoneIsLeftOverAndNoneIsLost) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo fd-keeper");
  const auto tree = tree_of(pid);
  std::map<pid_t, std::vector<int>> before;
  for (const pid_t one : tree) {
    for (const auto& [fd, facts] : fds_of(one))
      before[one].push_back(fd);
  }
  ASSERT_TRUE(grabs_tree(second, first, pid));
  for (const pid_t one : tree) {
    std::vector<int> after;
    for (const auto& [fd, facts] : fds_of(one))
      after.push_back(fd);
    EXPECT_EQ(after, before[one]);
  }
}

TEST_F(Descriptors, AllOfThemWriteToTheNewTerminal) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo fd-keeper");
  ASSERT_TRUE(grabs_tree(second, first, pid));
  second.type("write all\r");
  for (const int fd : {1, 2, 11, 20, 21, 40, 200, 201, 1000})
    EXPECT_TRUE(second.expect("through " + std::to_string(fd) + ";"));
  EXPECT_THAT(first.transcript(), Not(HasSubstr("through")));
}

TEST_F(Descriptors, AFlagSetThroughOneIsSeenThroughThoseThatShareItOnly) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo fd-keeper");
  ASSERT_TRUE(grabs_tree(second, first, pid));
  second.type("append\r");
  EXPECT_TRUE(second.expect("append: 201 end"));
}

TEST_F(Descriptors, TwoProcessesWithOneTableKeepOneTable) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo shared-table");
  ASSERT_TRUE(grabs_tree(second, first, pid));
  EXPECT_TRUE(second.echoes("hello"));
  second.type("same\r");
  EXPECT_TRUE(second.expect("one table"));
}

TEST_F(Descriptors, AProgramThatWaitsByEpollSeesKeys) {
  for (const char* how : {"", " edge", " exclusive", " nested", " oneshot", " pair", " twice"}) {
    Shell first("bash");
    SecondTerminal second;
    const pid_t pid = first.start(std::string("tracee_zoo epoll-lines") + how);
    ASSERT_TRUE(grabs_tree(second, first, pid)) << how;
    EXPECT_TRUE(second.echoes("one")) << how;
    EXPECT_TRUE(second.echoes("two")) << how;
    EXPECT_THAT(second.transcript(), Not(HasSubstr("epoll_wait "))) << how;
  }
}

TEST_F(Descriptors, AProgramThatHasClosedTheNumberByWhichEpollWatchesSeesKeys) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo epoll-lines stale");
  first.run("before");
  ASSERT_TRUE(first.expect("got: before"));
  const auto before = fds_of(pid);
  ASSERT_TRUE(grabs_tree(second, first, pid));
  EXPECT_TRUE(second.echoes("one"));
  EXPECT_TRUE(second.echoes("two"));
  EXPECT_THAT(second.transcript(), Not(HasSubstr("epoll_wait ")));
  auto after = fds_of(pid);
  ASSERT_EQ(after.size(), before.size());
  for (const int pipe_end : {21, 22})
    EXPECT_EQ(after[pipe_end], before.at(pipe_end));
}

TEST_F(Descriptors, AProgramWhoseEpollEntryCannotBeMovedIsNamed) {
  for (const std::string& how :
       {"stale-locked " + scratch("locked"), std::string("stale-elsewhere")}) {
    Shell first("bash");
    SecondTerminal second;
    const pid_t pid = first.start("tracee_zoo epoll-lines " + how);
    second.run("grab --tree --dry-run " + std::to_string(pid));
    EXPECT_TRUE(second.expect("may see no keys")) << how;
    second.skip_shown();
    ASSERT_TRUE(grabs_tree(second, first, pid)) << how;
    EXPECT_THAT(second.transcript(), HasSubstr("may see no keys")) << how;
  }
}

TEST_F(Descriptors, AnEpollSetThatIsTheParentsTooGoesOnServingTheParent) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo epoll-parent");
  ASSERT_TRUE(grabs_tree(second, first, pid));
  EXPECT_THAT(second.transcript(), HasSubstr("which is its parent's, too"));
  EXPECT_TRUE(second.echoes("one"));
  first.type("hello\r");
  EXPECT_TRUE(first.expect("parent got: hello"));
  EXPECT_TRUE(second.echoes("two"));
}

TEST_F(Descriptors, AReadByIoUringThatWaitsIsNamedBeforeAndAtTheMove) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo ring-lines");
  second.run("grab --tree --dry-run " + std::to_string(pid));
  EXPECT_TRUE(second.expect("has calls under way by io_uring"));
  second.skip_shown();
  ASSERT_TRUE(grabs_tree(second, first, pid));
  EXPECT_TRUE(second.expect("has calls under way by io_uring"));
  // It is still waiting. What it takes, it takes from its shell, which reads there as well; from
  // then on all is as it should be.
  ASSERT_TRUE(wait_until([&] {
    first.type("typed there\r");
    return static_cast<bool>(second.expect("got: ", Duration{100}));
  })) << all_transcripts();
  EXPECT_TRUE(second.echoes("typed here"));
}

TEST_F(Descriptors, AnEpollEntryThatIsSpentStaysSpentUntilItIsArmedAgain) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo epoll-lines spent");
  first.run("spend it");
  ASSERT_TRUE(first.expect("got: spend it"));
  ASSERT_TRUE(grabs_tree(second, first, pid));
  second.type("held back\r");
  ASSERT_TRUE(second.expect("held back\r\n"));  // its echo
  ::kill(pid, SIGUSR1);
  EXPECT_TRUE(second.expect("still spent"));
  EXPECT_TRUE(second.expect("got: held back"));
  EXPECT_TRUE(second.echoes("next"));
}

TEST_F(Descriptors, AProgramThatIsToldOfKeysBySigioGetsIt) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo sigio-lines");
  first.run("before");
  ASSERT_TRUE(first.expect("got: before"));
  ASSERT_TRUE(grabs_tree(second, first, pid));
  EXPECT_TRUE(second.echoes("one"));
  EXPECT_TRUE(second.echoes("two"));
}

TEST_F(Descriptors, OtherFilesAndPipesStayWhatTheyAre) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo echo-lines 7> " + scratch("file") + " 8< /dev/null");
  const auto before = fds_of(pid);
  ASSERT_TRUE(grabs_tree(second, first, pid));
  const auto after = fds_of(pid);
  EXPECT_EQ(after.at(7), before.at(7));
  EXPECT_EQ(after.at(8), before.at(8));
}

TEST_F(Descriptors, AFileThatFstatCannotDescribeStaysOpen) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t other = first.start("tracee_zoo catch-and-wait INT &");
  const std::string folder = "/proc/" + std::to_string(other) + "/fd";
  const pid_t pid = first.start("tracee_zoo echo-lines 7< " + folder);
  ASSERT_EQ(::kill(other, SIGKILL), 0);
  ASSERT_TRUE(wait_until([&] { return !read_stat(other); }));  // reaped, too
  const auto before = fds_of(pid);
  ASSERT_EQ(before.count(7), 1U);
  ASSERT_TRUE(grabs_tree(second, first, pid));
  EXPECT_EQ(fds_of(pid).at(7), before.at(7));
  EXPECT_TRUE(second.echoes("here"));
}

}  // namespace
}  // namespace grab::test
