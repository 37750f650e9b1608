// SPDX-License-Identifier: MIT
#include "proc/speaker.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <thread>

#include <gtest/gtest.h>

#include "proc/test_tree.h"

namespace grab::proc {
namespace {

TEST(Speaker, IsTheMainThreadWhileThatLives) {
  TestTree tree;
  tree.start([](const Actor& /*actor*/) { std::thread(Actor::pause_for_good).detach(); });
  const pid_t pid = tree.pid("leader");
  ASSERT_TRUE(TestTree::wait_for_state(pid, "S"));
  EXPECT_EQ(speaker_of(pid), pid);
  EXPECT_EQ(stat_of_process(pid)->state, 'S');
}

TEST(Speaker, IsAThreadThatLivesWhereTheMainOneHasEnded) {
  TestTree tree;
  tree.start([](const Actor& actor) {
    actor.fork("headless", [&actor] {
      std::thread([&actor] {
        actor.report("headless");
        Actor::pause_for_good();
      }).detach();
      ::syscall(SYS_exit, 0);  // of this thread alone
    });
  });
  const pid_t pid = tree.pid("headless");
  ASSERT_TRUE(TestTree::wait_for_state(pid, "Z"));
  const pid_t speaker = speaker_of(pid);
  EXPECT_NE(speaker, pid);
  ASSERT_TRUE(TestTree::wait_for_state(speaker, "S"));
  const auto stat = stat_of_process(pid);
  ASSERT_TRUE(stat);
  EXPECT_EQ(stat->state, 'S');
  EXPECT_EQ(stat->pid, pid);
  EXPECT_EQ(run_time_of(pid), run_time_of(speaker)) << "of one that sleeps";
  ASSERT_EQ(::kill(pid, SIGSTOP), 0);
  ASSERT_TRUE(TestTree::wait_for_state(speaker, "T"));
  EXPECT_EQ(stat_of_process(pid)->state, 'T');
}

TEST(Speaker, IsTheProcessItselfWhereAllHaveEndedOrThereIsNone) {
  const pid_t pid = ::fork();
  if (pid == 0)
    ::_exit(0);
  ASSERT_TRUE(TestTree::wait_for_state(pid, "Z"));
  EXPECT_EQ(speaker_of(pid), pid);
  EXPECT_EQ(stat_of_process(pid)->state, 'Z');
  ASSERT_EQ(::waitpid(pid, nullptr, 0), pid);
  EXPECT_EQ(speaker_of(pid), pid);
  EXPECT_FALSE(stat_of_process(pid));
  EXPECT_FALSE(run_time_of(pid));
}

}  // namespace
}  // namespace grab::proc
