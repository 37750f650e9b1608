// SPDX-License-Identifier: MIT
#include "tracer/inner_shells.h"

#include <csignal>

#include <gmock/gmock.h>

#include "tracer/test_snapshot.h"

namespace grab::tracer {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

void make_interactive(proc::Process& process) {
  process.status.ignored = signals({SIGTTOU, SIGTTIN, SIGTSTP, SIGTERM, SIGQUIT});
}

/// A shell 200 below the old shell, with the job 300.
TestSnapshot inner_shell() {
  TestSnapshot snapshot;
  make_interactive(snapshot.add(200, kShell, 200, "bash"));
  snapshot.add(300, 200, 300, "make");
  snapshot.add(301, 300, 300, "vim").status.caught = signals({SIGTSTP});
  snapshot.foreground(200);
  return snapshot;
}

TEST(InnerShells, OneThatIsRootIsGuardedAsLongAsItHasJobsOfBefore) {
  const auto plan = inner_shell().plan();
  ASSERT_TRUE(plan);
  const Guarding& guarding = plan->guarding;
  ASSERT_EQ(guarding.shells.size(), 1U);
  EXPECT_EQ(guarding.shells[0].pid, 200);
  EXPECT_EQ(guarding.shells[0].start_time, 200U);
  EXPECT_FALSE(guarding.shells[0].lacks_terminal);
  EXPECT_THAT(guarding.job_pgids, ElementsAre(300));
  ASSERT_EQ(guarding.self_stoppers.size(), 1U);
  EXPECT_EQ(guarding.self_stoppers[0].pid, 301);
  EXPECT_EQ(guarding.front_pgid, 0);
  EXPECT_EQ(guarding.job_pgid, 200);
}

TEST(InnerShells, AJobThatIsStoppedMayHaveStoppedItself) {
  TestSnapshot snapshot = inner_shell();
  proc::Process& vim = snapshot.of(301);
  vim.status.caught = {};
  vim.stat.state = 'T';
  ASSERT_TRUE(snapshot.plan());
  ASSERT_EQ(snapshot.plan()->guarding.self_stoppers.size(), 1U);
  EXPECT_EQ(snapshot.plan()->guarding.self_stoppers[0].pid, 301);
  vim.status.ignored = signals({SIGTSTP});
  EXPECT_THAT(snapshot.plan()->guarding.self_stoppers, IsEmpty());
}

TEST(InnerShells, AJobThatIsInFrontAtTheMoveIsSoAfterItAndIsNoFollower) {
  TestSnapshot snapshot = inner_shell();
  snapshot.foreground(300);
  const auto plan = snapshot.plan();
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->guarding.front_pgid, 300);
  EXPECT_THAT(plan->follower_pgids, IsEmpty());
}

TEST(InnerShells, OneWithoutJobsIsNotGuarded) {
  TestSnapshot snapshot;
  make_interactive(snapshot.add(200, kShell, 200, "bash"));
  snapshot.add(201, 200, 200, "helper");
  const auto plan = snapshot.foreground(200).plan();
  ASSERT_TRUE(plan);
  EXPECT_THAT(plan->guarding.shells, IsEmpty());
}

TEST(InnerShells, AScriptWithGroupsIsNotGuarded) {
  TestSnapshot snapshot = inner_shell();
  snapshot.of(200).status.ignored = {};
  const auto plan = snapshot.plan();
  ASSERT_TRUE(plan);
  EXPECT_THAT(plan->guarding.shells, IsEmpty());
}

TEST(InnerShells, OneBelowAScriptLacksItsTerminalAndKeepsTheKeyboard) {
  TestSnapshot snapshot;
  snapshot.add(200, kShell, 200, "make");
  make_interactive(snapshot.add(300, 200, 300, "zsh"));
  const auto plan = snapshot.foreground(300).plan();
  ASSERT_TRUE(plan);
  ASSERT_EQ(plan->guarding.shells.size(), 1U);
  EXPECT_EQ(plan->guarding.shells[0].pid, 300);
  EXPECT_TRUE(plan->guarding.shells[0].lacks_terminal);
  EXPECT_EQ(plan->guarding.front_pgid, 300);
  EXPECT_THAT(plan->guarding.job_pgids, IsEmpty());
}

TEST(InnerShells, BelowALoginShellBothAreGuarded) {
  TestSnapshot snapshot;
  make_interactive(snapshot.add(kShell, 1, kShell, "bash"));
  make_interactive(snapshot.add(300, kShell, 300, "fish"));
  snapshot.value.parent.reset();
  const auto plan = snapshot.foreground(300).plan();
  ASSERT_TRUE(plan);
  ASSERT_EQ(plan->guarding.shells.size(), 2U);
  EXPECT_FALSE(plan->guarding.shells[0].lacks_terminal);
  EXPECT_TRUE(plan->guarding.shells[1].lacks_terminal);
  EXPECT_EQ(plan->guarding.front_pgid, 0) << "the kernel has it there";
}

TEST(InnerShells, OneThatWasMovedBeforeStillHasItsJobsElsewhere) {
  TestSnapshot snapshot = inner_shell();
  snapshot.of(200).stat.sid = 200;
  for (const pid_t pid : {300, 301})
    snapshot.of(pid).stat.tty = 0;
  const auto plan = snapshot.plan();
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->topology, Topology::kSessionLeader);
  EXPECT_THAT(plan->guarding.job_pgids, ElementsAre(300));
  ASSERT_EQ(plan->guarding.shells.size(), 1U);
  EXPECT_FALSE(plan->guarding.shells[0].lacks_terminal);
}

}  // namespace
}  // namespace grab::tracer
