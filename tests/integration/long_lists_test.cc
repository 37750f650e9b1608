// SPDX-License-Identifier: MIT
// Thousands of descriptors, a thousand processes, hundreds of threads: moved like one.
#include <sys/resource.h>

#include <string>

#include <gmock/gmock.h>

#include "support/grab_test.h"

namespace grab::test {
namespace {

class LongLists : public GrabTest {};

// The descriptor table needs room beside those that are moved.
constexpr int kDescriptors = 4000;
constexpr rlim_t kRoom = 6000;

TEST_F(LongLists, FourThousandDescriptorsOfTheTerminalAreMoved) {
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  if (limit.rlim_max < kRoom)
    GTEST_SKIP() << "this user may open no more than " << limit.rlim_max << " files";
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo many-descriptors " + std::to_string(kDescriptors));
  ASSERT_TRUE(grabs_tree(second, first, pid, "--timeout 20"));
  second.type("fds\r");
  EXPECT_TRUE(second.expect("good: " + std::to_string(kDescriptors)));
}

TEST_F(LongLists, AThousandProcessesAreMoved) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo many-processes 1000");
  ASSERT_EQ(tree_of(pid).size(), 1001U);
  second.grab_tree(pid, "--timeout 20");
  ASSERT_TRUE(second.expect("grab: moved 1001 processes", 4 * kDeadline));
  EXPECT_TRUE(second.echoes("hello"));
  EXPECT_EQ(tree_of(pid).size(), 1001U);
}

// What tracers write down for who comes after them is no file.
TEST_F(LongLists, ManyProcessesAreMovedByAGrabThatMayWriteNoLongFile) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo many-processes 100");
  const std::string log = scratch("log");
  second.run("(ulimit -f 1; exec grab --log " + log + " --tree " + std::to_string(pid) + ")");
  ASSERT_TRUE(second.expect("grab: moved 101 processes", 4 * kDeadline));
  for (int i = 0; i < 20; ++i)
    EXPECT_TRUE(second.echoes(std::string(60, 'x') + std::to_string(i)));
  EXPECT_THAT(second.transcript(), testing::HasSubstr("the log " + log + " ends here"));
  EXPECT_EQ(tree_of(pid).size(), 101U);
}

TEST_F(LongLists, AGrabThatMayWriteNoByteToAFileIsRefusedInWords) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo echo-lines");
  const Unchanged unchanged(first, tree_of(first.pid()));
  second.run("(ulimit -f 0; grab --tree " + std::to_string(pid) + "); echo \"[status $?]\"");
  ASSERT_TRUE(second.expect("File too large"));
  EXPECT_TRUE(second.expect("[status 125]"));
  EXPECT_TRUE(unchanged.holds());
}

TEST_F(LongLists, FiveHundredThreadsAreMoved) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo many-threads 500");
  ASSERT_GE(threads_of(pid).size(), 500U);
  ASSERT_TRUE(grabs_tree(second, first, pid, "--timeout 20"));
  EXPECT_TRUE(second.echoes("hello"));
}

TEST_F(LongLists, ThreadsThatComeAndGoDuringTheMoveAreNotLost) {
  Shell first("bash");
  SecondTerminal second;
  const pid_t pid = first.start("tracee_zoo thread-storm 4");
  ASSERT_TRUE(grabs_tree(second, first, pid));
  EXPECT_TRUE(second.echoes("hello"));
  second.type("check\r");
  EXPECT_TRUE(second.expect("none lost"));
}

}  // namespace
}  // namespace grab::test
