// SPDX-License-Identifier: MIT
// Plans of snapshots made by hand: who does what, and what the relay is told.
#include "tracer/plan.h"

#include <functional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tracer/test_snapshot.h"

namespace grab::tracer {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr MoveOptions kTree{.whole_tree = true};

// make 200 in the foreground, with a shell 201 that runs a compiler 202.
TestSnapshot build_in_foreground() {
  TestSnapshot snapshot;
  snapshot.add(200, kShell, 200);
  snapshot.add(201, 200, 200, "sh");
  snapshot.add(202, 201, 200, "cc1");
  snapshot.foreground(200);
  return snapshot;
}

TEST(NewSession, FollowersShareAGroupWhoseLeaderPreparesFirstAndRootLast) {
  const auto plan = build_in_foreground().plan();
  ASSERT_TRUE(plan) << plan.error().message();
  EXPECT_EQ(plan->topology, Topology::kNewSession);
  EXPECT_EQ(plan->topology_why, "");
  EXPECT_EQ(plan->root, 200);
  ASSERT_EQ(plan->processes.size(), 3U);
  EXPECT_EQ(plan->processes[0].pid, 201);
  EXPECT_EQ(plan->processes[2].pid, 200);
  for (const pid_t pid : {201, 202}) {
    const ProcessPlan& follower = *plan->find(pid);
    EXPECT_EQ(follower.role, Role::kFollower);
    const auto* const join = find_step<step::JoinGroup>(follower.prepare);
    ASSERT_NE(join, nullptr);
    EXPECT_EQ(join->pgid, 201);
    EXPECT_EQ(join->undo_pgid, 200);
    EXPECT_NE(find_step<step::DropTerminal>(follower.commit), nullptr);
    EXPECT_THAT(follower.note, HasSubstr("/dev/tty"));
  }
  const ProcessPlan& root = *plan->find(200);
  EXPECT_EQ(root.role, Role::kRoot);
  ASSERT_NE(find_step<step::NewSession>(root.commit), nullptr);
  EXPECT_EQ(find_step<step::NewSession>(root.commit)->via_pgid, 201);
  EXPECT_NE(find_step<step::TakeTerminal>(root.commit), nullptr);
  EXPECT_EQ(find_step<step::JoinGroup>(root.prepare), nullptr);
}

TEST(NewSession, TheRelayIsToldRootsGroupAndTheFollowers) {
  const auto plan = build_in_foreground().plan();
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->job_pgid, 200);
  EXPECT_THAT(plan->follower_pgids, ElementsAre(201));
  EXPECT_EQ(plan->status_pid, 200);
  EXPECT_TRUE(plan->foreground);
  EXPECT_EQ(plan->modes, Modes::kOldTerminal);
  EXPECT_TRUE(plan->carry_type_ahead);
}

TEST(NewSession, AloneItStepsThroughTheGroupOfItsParent) {
  TestSnapshot snapshot;
  snapshot.add(200, kShell, 200);
  const auto plan = snapshot.plan();
  ASSERT_TRUE(plan);
  EXPECT_EQ(find_step<step::NewSession>(plan->find(200)->commit)->via_pgid, kShell);
  EXPECT_THAT(plan->follower_pgids, IsEmpty());
}

TEST(NewSession, AnOrphanStepsThroughAnotherGroupOfItsSession) {
  TestSnapshot snapshot;
  snapshot.add(200, 1, 200);
  snapshot.value.parent = TestSnapshot::make(1, 0, 1, "init");
  snapshot.value.parent->stat.sid = 1;
  snapshot.value.session_pgids = {200, 300};
  auto plan = snapshot.plan();
  ASSERT_TRUE(plan);
  EXPECT_EQ(find_step<step::NewSession>(plan->find(200)->commit)->via_pgid, 300);

  snapshot.value.session_pgids.clear();
  snapshot.add(201, 200, 201);
  plan = snapshot.plan();
  ASSERT_TRUE(plan);
  EXPECT_EQ(find_step<step::NewSession>(plan->find(200)->commit)->via_pgid, 201);

  snapshot.value.processes.pop_back();
  plan = snapshot.plan();
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->topology, Topology::kKeepSession);
  EXPECT_THAT(plan->topology_why, HasSubstr("no other process group"));
}

TEST(NewSession, WhoIsNoGroupLeaderNeedsNoStep) {
  TestSnapshot snapshot;  // the script 150 goes on waiting for 200
  snapshot.add(200, 150, 150);
  snapshot.add(201, 200, 150);
  snapshot.value.parent = TestSnapshot::make(150, kShell, 150, "script");
  snapshot.value.outsiders = {{150, 150}};
  const auto plan = snapshot.plan();
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->root, 200);
  EXPECT_EQ(plan->topology, Topology::kNewSession);
  EXPECT_EQ(find_step<step::NewSession>(plan->find(200)->commit)->via_pgid, 0);
  EXPECT_EQ(find_step<step::JoinGroup>(plan->find(201)->prepare)->undo_pgid, 150);
}

TEST(NewSession, GroupsOfTheirOwnAreKept) {
  TestSnapshot snapshot = build_in_foreground();
  snapshot.add(300, 200, 300, "inner");
  const auto plan = snapshot.plan();
  ASSERT_TRUE(plan);
  EXPECT_EQ(find_step<step::JoinGroup>(plan->find(300)->prepare), nullptr);
  EXPECT_NE(find_step<step::DropTerminal>(plan->find(300)->commit), nullptr);
  EXPECT_THAT(plan->follower_pgids, ElementsAre(201));
}

TEST(NewSession, AnInnerJobInTheForegroundIsAFollowerOfTheKeyboard) {
  TestSnapshot snapshot;  // an inner shell 200 whose job 300 has the terminal
  snapshot.add(200, kShell, 200, "bash");
  snapshot.add(300, 200, 300, "vi");
  snapshot.foreground(300);
  const auto plan = snapshot.plan();
  ASSERT_TRUE(plan);
  EXPECT_TRUE(plan->foreground);
  EXPECT_THAT(plan->follower_pgids, ElementsAre(300));
}

TEST(Pipeline, NamingAnyOfItMovesItWithTheLeaderAsRoot) {
  TestSnapshot snapshot;
  snapshot.add(201, kShell, 200, "less");
  snapshot.add(200, kShell, 200, "cat");
  snapshot.value.named = 201;
  snapshot.foreground(200);
  const auto plan = snapshot.plan();
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->root, 200);
  EXPECT_EQ(plan->status_pid, 201) << "the last command's status is the job's";
  EXPECT_THAT(plan->tell.children, testing::UnorderedElementsAre(200, 201));
}

TEST(Pipeline, WithALeaderThatHasEndedTheNamedOneIsRoot) {
  TestSnapshot snapshot;
  snapshot.add(201, kShell, 200, "less");
  snapshot.add_zombie(200, kShell, 200);
  snapshot.add(202, kShell, 200, "wc");
  const auto plan = snapshot.plan();
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->root, 201);
  EXPECT_EQ(plan->topology, Topology::kNewSession) << "the zombie holds group 200, not 201";
  EXPECT_EQ(plan->find(200)->role, Role::kZombie);
  EXPECT_EQ(find_step<step::JoinGroup>(plan->find(202)->prepare)->pgid, 202);
}

TEST(KeepSession, AZombieOrAStrangerInTheGroupIsNamed) {
  TestSnapshot snapshot = build_in_foreground();
  snapshot.add_zombie(203, 200, 200);
  auto plan = snapshot.plan();
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->topology, Topology::kKeepSession);
  EXPECT_EQ(plan->topology_why, "the zombie 203 (ended) holds its process group");

  snapshot.value.processes.pop_back();
  snapshot.value.outsiders = {{777, 200}};
  plan = snapshot.plan();
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->topology, Topology::kKeepSession);
  EXPECT_THAT(plan->topology_why, HasSubstr("777"));
}

TEST(NewSession, RootIsTheSameAsInAMoveThatHasKeptTheSession) {
  TestSnapshot snapshot;
  snapshot.add(200, kShell, 201);
  snapshot.add(201, 200, 201, "sh");  // leads the group that the two were moved into
  const auto plan = snapshot.plan();
  ASSERT_TRUE(plan) << plan.error().message();
  EXPECT_EQ(plan->root, 200);
  EXPECT_EQ(plan->topology, Topology::kNewSession);
}

// Else it is hung up with the old terminal once it makes a session of its own, in a second move.
TEST(KeepSession, RootLeavesTheForegroundToTheShellFirst) {
  const auto plan = build_in_foreground().plan({.whole_tree = true, .keep_session = true});
  ASSERT_TRUE(plan);
  const auto& commit = plan->find(200)->commit;
  ASSERT_FALSE(commit.empty());
  const auto* const leave = std::get_if<step::LeaveFront>(&commit.front());
  ASSERT_NE(leave, nullptr);
  EXPECT_EQ(leave->to, kShell);
  EXPECT_EQ(leave->front, 200);
}

TEST(KeepSession, RootGoesWithItsFollowersAndLeavesTheOldGroupLast) {
  const auto plan = build_in_foreground().plan({.whole_tree = true, .keep_session = true});
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->topology, Topology::kKeepSession);
  const ProcessPlan& root = *plan->find(200);
  EXPECT_EQ(find_step<step::JoinGroup>(root.prepare), nullptr);
  ASSERT_NE(find_step<step::JoinGroup>(root.commit), nullptr);
  EXPECT_EQ(find_step<step::JoinGroup>(root.commit)->pgid, 201);
  EXPECT_NE(find_step<step::DropTerminal>(root.commit), nullptr);
  EXPECT_EQ(find_step<step::NewSession>(root.commit), nullptr);
  EXPECT_EQ(find_step<step::TakeTerminal>(root.commit), nullptr);
  EXPECT_EQ(plan->job_pgid, 201);
  EXPECT_THAT(plan->follower_pgids, IsEmpty());
  EXPECT_THAT(root.note, HasSubstr("no controlling terminal"));
}

TEST(KeepSession, MembersOfAGroupThatRootHasLeftKeepItsNumber) {
  TestSnapshot snapshot;  // 200 was the leader of 200 and went into 150
  snapshot.add(200, 150, 150);
  snapshot.add(201, 200, 200);
  snapshot.value.parent = TestSnapshot::make(150, kShell, 150, "script");
  const auto plan = snapshot.plan();
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->topology, Topology::kKeepSession);
  EXPECT_THAT(plan->topology_why, HasSubstr("201"));
}

// A login shell with a job in the foreground and one in the background.
TestSnapshot login_shell() {
  TestSnapshot snapshot;
  snapshot.add(kShell, 50, kShell, "bash");
  snapshot.add(200, kShell, 200);
  snapshot.add(300, kShell, 300, "job");
  snapshot.foreground(200);
  snapshot.value.parent = TestSnapshot::make(50, 1, 50, "sshd");
  return snapshot;
}

TEST(SessionLeader, KeepsItsGroupsAndItsForeground) {
  const auto plan = login_shell().plan();
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->topology, Topology::kSessionLeader);
  const ProcessPlan& root = *plan->find(kShell);
  ASSERT_EQ(root.commit.size(), 2U);
  const auto* const leave = std::get_if<step::LeaveAsLeader>(&root.commit[0]);
  ASSERT_NE(leave, nullptr);
  EXPECT_TRUE(leave->consume_hup && leave->consume_cont);
  ASSERT_NE(find_step<step::TakeTerminal>(root.commit), nullptr);
  EXPECT_EQ(find_step<step::TakeTerminal>(root.commit)->foreground_pgid, 200);
  for (const pid_t pid : {200, 300}) {
    EXPECT_TRUE(plan->find(pid)->commit.empty());
    EXPECT_EQ(find_step<step::JoinGroup>(plan->find(pid)->prepare), nullptr);
  }
  EXPECT_THAT(plan->follower_pgids, IsEmpty());
}

TEST(SessionLeader, AMemberOfItsGroupStepsAsideWhileItIsHungUp) {
  TestSnapshot snapshot = login_shell();
  snapshot.add(101, kShell, kShell, "helper");
  const auto plan = snapshot.plan();
  ASSERT_TRUE(plan);
  const ProcessPlan& helper = *plan->find(101);
  EXPECT_EQ(find_step<step::JoinGroup>(helper.prepare)->pgid, 101);
  EXPECT_EQ(find_step<step::JoinGroup>(helper.commit)->pgid, kShell);
  EXPECT_THAT(plan->follower_pgids, IsEmpty());
}

TEST(SessionLeader, LeavesSignalsAloneThatWerePending) {
  TestSnapshot snapshot = login_shell();
  snapshot.of(kShell).status.pending = signals({SIGHUP});
  snapshot.of(kShell).status.shared_pending = signals({SIGCONT});
  const auto plan = snapshot.plan();
  ASSERT_TRUE(plan);
  const auto* const leave = find_step<step::LeaveAsLeader>(plan->find(kShell)->commit);
  ASSERT_NE(leave, nullptr);
  EXPECT_FALSE(leave->consume_hup);
  EXPECT_FALSE(leave->consume_cont);
}

TEST(SessionLeader, KeepSessionChangesNothingAndIsExplained) {
  const auto plan = login_shell().plan({.whole_tree = true, .keep_session = true});
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->topology, Topology::kSessionLeader);
  EXPECT_THAT(plan->topology_why, HasSubstr("anyway"));
}

TEST(SessionLeader, WithNoTerminalOfItsOwnOnlyTakesOne) {
  TestSnapshot snapshot;  // setsid PROGRAM, with a child 201 that was born before it
  proc::Process& leader = snapshot.add(200, kShell, 200, "setsid");
  leader.stat.sid = 200;
  leader.stat.tty = 0;
  snapshot.add(201, 200, kShell, "older");
  const auto plan = snapshot.plan();
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->topology, Topology::kSessionLeader);
  EXPECT_EQ(find_step<step::LeaveAsLeader>(plan->find(200)->commit), nullptr);
  EXPECT_EQ(find_step<step::TakeTerminal>(plan->find(200)->commit)->foreground_pgid, 200);
  EXPECT_NE(find_step<step::DropTerminal>(plan->find(201)->commit), nullptr)
      << "its terminal is not that of the leader's session";
}

TEST(Follower, ThatLeadsASessionKeepsItsTerminalAndIsNoted) {
  TestSnapshot snapshot;
  proc::Process& named = snapshot.add(300, 200, 300, "named");
  named.stat.sid = 300;
  named.stat.tty = 0;
  snapshot.add(301, 300, 301, "leader").stat.sid = 301;
  snapshot.of(300).stat.sid = 299;  // no leader itself
  snapshot.of(300).stat.pgid = 299;
  const auto plan = snapshot.plan();
  ASSERT_TRUE(plan);
  EXPECT_EQ(find_step<step::DropTerminal>(plan->find(301)->commit), nullptr);
  EXPECT_THAT(plan->find(301)->note, HasSubstr("keeps the old terminal"));
}

TEST(Follower, WithNothingOfTheTerminalIsUntouched) {
  TestSnapshot snapshot = build_in_foreground();
  proc::Process& daemon = snapshot.add(400, 200, 400, "daemon");
  daemon.stat.sid = 400;
  daemon.stat.tty = 0;
  daemon.moved_fds.clear();
  const auto plan = snapshot.plan();
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->find(400)->role, Role::kUntouched);
}

TEST(Follower, OnlyTheFirstOfASharedTableMovesDescriptors) {
  TestSnapshot snapshot = build_in_foreground();
  snapshot.of(202).fd_table_of = 201;
  const auto plan = snapshot.plan();
  ASSERT_TRUE(plan);
  EXPECT_NE(find_step<step::MoveDescriptors>(plan->find(201)->prepare), nullptr);
  EXPECT_EQ(find_step<step::MoveDescriptors>(plan->find(202)->prepare), nullptr);
}

TEST(OneProcess, LeavesTheOthersOfItsTreeAlone) {
  TestSnapshot snapshot;
  snapshot.add(200, kShell, 200);
  proc::Process& other = snapshot.add(201, 200, 201, "daemon");
  other.stat.sid = 201;
  other.stat.tty = 0;
  other.moved_fds.clear();
  const auto plan = snapshot.plan({});
  ASSERT_TRUE(plan) << plan.error().message();
  EXPECT_EQ(plan->find(201)->role, Role::kUntouched);
  EXPECT_EQ(plan->topology, Topology::kNewSession);
}

TEST(Job, InTheBackgroundStartsFromSaneModes) {
  TestSnapshot snapshot = build_in_foreground();
  snapshot.foreground(kShell);
  const auto plan = snapshot.plan();
  ASSERT_TRUE(plan);
  EXPECT_FALSE(plan->foreground);
  EXPECT_EQ(plan->modes, Modes::kSane);
  EXPECT_FALSE(plan->carry_type_ahead);
}

TEST(Job, ThatLeavesTheForegroundToItsShellHasItsTerminalCleaned) {
  TestSnapshot snapshot = build_in_foreground();
  EXPECT_TRUE(snapshot.plan()->clean_old_terminal);
  snapshot.value.outsiders = {{777, 200}};
  EXPECT_FALSE(snapshot.plan()->clean_old_terminal) << "one of its group stays there";
  snapshot.value.outsiders = {};
  snapshot.value.parent->stat.pgid = 200;
  EXPECT_FALSE(snapshot.plan()->clean_old_terminal) << "the one that started it stays there";
}

TEST(Job, InTheBackgroundOrOfAShellThatCannotBeToldHasItsTerminalLeftAlone) {
  TestSnapshot snapshot = build_in_foreground();
  snapshot.value.parent->readable = false;
  EXPECT_EQ(snapshot.plan()->tell.how, TellShell::How::kStopFirst);
  EXPECT_FALSE(snapshot.plan()->clean_old_terminal);
  snapshot = build_in_foreground();
  snapshot.foreground(kShell);
  EXPECT_FALSE(snapshot.plan()->clean_old_terminal);
}

TEST(Job, ThatIsStoppedGoesOnUnlessAskedNotTo) {
  TestSnapshot snapshot = build_in_foreground();
  snapshot.foreground(kShell);
  for (const pid_t pid : {200, 201})
    snapshot.of(pid).stat.state = 'T';
  auto plan = snapshot.plan();
  ASSERT_TRUE(plan);
  EXPECT_THAT(plan->continue_after, ElementsAre(200, 201));
  EXPECT_EQ(plan->modes, Modes::kSane);
  plan = snapshot.plan({.whole_tree = true, .keep_stopped = true});
  ASSERT_TRUE(plan);
  EXPECT_THAT(plan->continue_after, IsEmpty());
}

TEST(Job, AStoppedJobOfALoginShellStaysStopped) {
  TestSnapshot snapshot = login_shell();
  snapshot.of(300).stat.state = 'T';
  const auto plan = snapshot.plan();
  ASSERT_TRUE(plan);
  EXPECT_THAT(plan->continue_after, IsEmpty());
}

TEST(Screen, ProgramsOfTheForegroundThatCatchTheSignalsTakePart) {
  TestSnapshot snapshot = build_in_foreground();
  snapshot.of(202).status.caught = signals({SIGTSTP, SIGWINCH});
  snapshot.of(201).status.caught = signals({SIGWINCH});
  snapshot.add(300, 200, 300, "vi").status.caught = signals({SIGTSTP, SIGWINCH});
  auto plan = snapshot.plan();
  ASSERT_TRUE(plan);
  EXPECT_THAT(plan->leave_screen, ElementsAre(202));
  EXPECT_THAT(plan->redraw, ElementsAre(201, 202));
  snapshot.foreground(kShell);
  plan = snapshot.plan();
  ASSERT_TRUE(plan);
  EXPECT_THAT(plan->leave_screen, IsEmpty());
  EXPECT_THAT(plan->redraw, IsEmpty());
}

TEST(Plan, AServerGivesItsTerminalAndNothingElse) {
  for (const bool whole_tree : {true, false}) {
    TestSnapshot snapshot;
    snapshot.add(200, kShell, 200, "tmux: client");
    proc::Process& server =
        snapshot.add(300, kShell, 300, "tmux: server");  // the shell is a subreaper
    server.serves = true;
    server.stat.sid = 300;
    server.stat.tty = 0;
    server.moved_fds = {{5, false, 0}};
    server.status.caught = signals({SIGTSTP, SIGWINCH});
    const auto plan = snapshot.foreground(200).plan({.whole_tree = whole_tree});
    ASSERT_TRUE(plan) << plan.error().message();
    const ProcessPlan& of_server = *plan->find(300);
    EXPECT_EQ(of_server.role, Role::kServer);
    ASSERT_THAT(of_server.prepare, SizeIs(1));
    EXPECT_NE(find_step<step::MoveDescriptors>(of_server.prepare), nullptr);
    EXPECT_THAT(of_server.commit, IsEmpty());
    EXPECT_EQ(plan->topology, Topology::kNewSession);
    EXPECT_THAT(plan->follower_pgids, IsEmpty());
    EXPECT_THAT(plan->leave_screen, IsEmpty());
    EXPECT_THAT(plan->redraw, IsEmpty());
    EXPECT_EQ(plan->status_pid, 200);
  }
}

TEST(Plan, FindsNoOneWhoIsNotOfIt) {
  const auto plan = build_in_foreground().plan(kTree);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->find(4711), nullptr);
}

TEST(NameOf, IsSafeToPrint) {
  const proc::Process process = TestSnapshot::make(7, 1, 7, "a\x1b[31mb\n)");
  const std::string name = name_of(process);
  EXPECT_EQ(name.find('\x1b'), std::string::npos);
  EXPECT_EQ(name.find('\n'), std::string::npos);
  EXPECT_THAT(name, HasSubstr("7 ("));
}

TEST(PlanWarnings, NameWhoMaySeeNoKeysAndWhy) {
  const auto warnings_with = [](const std::function<void(proc::Process&)>& change) {
    TestSnapshot snapshot;
    snapshot.add(200, kShell, 200, "node");
    change(snapshot.of(200));
    const auto plan = snapshot.plan();
    return plan ? plan->warnings : std::vector<std::string>{plan.error().what};
  };
  const proc::StaleWatch closed{.watch = {5, 7, 1, 0}, .stands_for = 0};
  const auto stale = [&](proc::StaleWatch watch) {
    return warnings_with([=](proc::Process& node) { node.stale_watches = {watch}; });
  };
  EXPECT_THAT(warnings_with([](proc::Process&) {}), IsEmpty());
  EXPECT_THAT(stale(closed), IsEmpty());
  proc::StaleWatch locked = closed;
  locked.in_use = locked.locks = true;
  EXPECT_THAT(stale(locked), ElementsAre(AllOf(HasSubstr("200 (node) may see no keys"),
                                               HasSubstr("the number 7"), HasSubstr("locks"))));
  EXPECT_THAT(stale({.watch = {5, 7, 1, 0}}), ElementsAre(HasSubstr("others have open")));
  proc::StaleWatch contained = closed;
  contained.of_contained = true;
  EXPECT_THAT(stale(contained), ElementsAre(HasSubstr("in a container")));
  EXPECT_THAT(warnings_with([](proc::Process& node) { node.foreign_sets = {9}; }),
              ElementsAre(HasSubstr("its epoll set 9, which is its parent's, too")));
  EXPECT_THAT(warnings_with([](proc::Process& node) { node.waiting_rings = {4}; }),
              ElementsAre(HasSubstr("by io_uring (descriptor 4)")));
}

}  // namespace
}  // namespace grab::tracer
