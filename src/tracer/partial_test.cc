// SPDX-License-Identifier: MIT
// Plans of trees that are half someone else's.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tracer/plan.h"
#include "tracer/refusal.h"
#include "tracer/test_snapshot.h"

namespace grab::tracer {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr MoveOptions kPartial{.whole_tree = true, .partial = true};

void give_to_root(proc::Process& process) {
  process.status.uid = {kUser, 0, 0, 0};
  process.readable = false;
  process.moved_fds.clear();
}

// A script 200 that has started sudo 201, which runs apt 202, and tee 203, which is the user's.
TestSnapshot a_script_with_sudo() {
  TestSnapshot snapshot;
  snapshot.add(200, kShell, 200, "script");
  give_to_root(snapshot.add(201, 200, 200, "sudo"));
  give_to_root(snapshot.add(202, 201, 200, "apt"));
  snapshot.add(203, 200, 200, "tee");
  snapshot.foreground(200);
  return snapshot;
}

TEST(Partial, WithoutItAllThatAreInTheWayAreNamedWithTheTwoWaysOut) {
  const auto plan = a_script_with_sudo().plan();
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().kind, ErrorKind::kPermission);
  EXPECT_THAT(plan.error().what, AllOf(HasSubstr("201 (sudo)"), HasSubstr("202 (apt)")));
  EXPECT_THAT(plan.error().what, Not(HasSubstr("203 (tee)")));
  EXPECT_THAT(plan.error().hint, AllOf(HasSubstr("run grab as root"), HasSubstr("--partial")));
}

TEST(Partial, ManyInTheWayAreCounted) {
  TestSnapshot snapshot = a_script_with_sudo();
  for (pid_t pid = 300; pid < 310; pid++)
    give_to_root(snapshot.add(pid, 202, 200, "dpkg"));
  const auto plan = snapshot.plan();
  ASSERT_FALSE(plan);
  EXPECT_THAT(plan.error().what, HasSubstr("and 6 more"));
}

TEST(Partial, IsNoWayOutForTheNamedProcessItself) {
  TestSnapshot snapshot = a_script_with_sudo();
  give_to_root(snapshot.of(200));
  for (const bool partial : {false, true}) {
    const auto plan = snapshot.plan({.whole_tree = true, .partial = partial});
    ASSERT_FALSE(plan);
    EXPECT_THAT(plan.error().what, HasSubstr("200 (script)"));
    EXPECT_THAT(plan.error().hint, Not(HasSubstr("--partial")));
  }
}

TEST(Partial, LeavesThoseAloneAndMovesTheOthers) {
  const auto plan = a_script_with_sudo().plan(kPartial);
  ASSERT_TRUE(plan) << plan.error().message();
  for (const pid_t pid : {201, 202}) {
    const ProcessPlan& left = *plan->find(pid);
    EXPECT_EQ(left.role, Role::kLeft);
    EXPECT_THAT(left.prepare, IsEmpty());
    EXPECT_THAT(left.commit, IsEmpty());
    EXPECT_THAT(left.note, HasSubstr("look into " + std::to_string(pid)));
    EXPECT_THAT(plan->warnings,
                Contains(AllOf(HasSubstr("left where it is"), HasSubstr(std::to_string(pid)))));
  }
  EXPECT_EQ(plan->find(200)->role, Role::kRoot);
  EXPECT_EQ(plan->find(203)->role, Role::kFollower);
}

TEST(Partial, WhatStaysKeepsItsGroupItsTerminalAndTheShellThatWaitsForIt) {
  const auto plan = a_script_with_sudo().plan(kPartial);
  ASSERT_TRUE(plan);
  // setsid(2) is not to be had while others are in the group.
  EXPECT_EQ(plan->topology, Topology::kKeepSession);
  EXPECT_THAT(plan->topology_why, HasSubstr("201 (sudo)"));
  EXPECT_EQ(plan->tell.how, TellShell::How::kNobody);
  EXPECT_FALSE(plan->carry_type_ahead) << "it may be sudo's password";
  EXPECT_EQ(plan->modes, Modes::kSane) << "sudo may have turned the echo off";
  EXPECT_THAT(plan->follower_pgids, Not(Contains(200)));
  EXPECT_NE(plan->job_pgid, 200);
}

TEST(Partial, OneInAGroupOfItsOwnIsNoReasonToKeepTheSession) {
  TestSnapshot snapshot = a_script_with_sudo();
  snapshot.of(201).stat.pgid = 201;
  snapshot.of(202).stat.pgid = 201;
  const auto plan = snapshot.plan(kPartial);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->topology, Topology::kNewSession);
  EXPECT_EQ(plan->tell.how, TellShell::How::kTold);
  EXPECT_THAT(plan->tell.children, ElementsAre(200));
}

TEST(Partial, DoesNotTakeTheTerminalFromOneThatStaysInTheSessionOfALeader) {
  TestSnapshot snapshot = a_script_with_sudo();
  for (proc::Process& process : snapshot.value.processes)
    process.stat.sid = 200;
  const auto plan = snapshot.plan(kPartial);
  ASSERT_FALSE(plan);
  EXPECT_THAT(plan.error().what, HasSubstr("201 (sudo), which may not be moved, would lose"));
}

TEST(Partial, RootMovesAllOfIt) {
  TestSnapshot snapshot = a_script_with_sudo();
  snapshot.value.self.euid = 0;
  for (proc::Process& process : snapshot.value.processes)
    process.readable = true;
  for (const bool partial : {false, true}) {
    const auto plan = snapshot.plan({.whole_tree = true, .partial = partial});
    ASSERT_TRUE(plan);
    EXPECT_EQ(plan->topology, Topology::kNewSession);
    for (const ProcessPlan& process : plan->processes)
      EXPECT_NE(process.role, Role::kLeft);
  }
}

}  // namespace
}  // namespace grab::tracer
