// SPDX-License-Identifier: MIT
// Who is told what about a job that has left.
#include "tracer/old_shell.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tracer/test_snapshot.h"

namespace grab::tracer {
namespace {

using How = TellShell::How;
using testing::ElementsAre;
using testing::HasSubstr;

TestSnapshot a_job() {
  TestSnapshot snapshot;
  snapshot.add(200, kShell, 200);
  snapshot.add(201, 200, 200);
  snapshot.foreground(200);
  return snapshot;
}

TellShell decide(const TestSnapshot& snapshot) {
  const proc::Process& root = *snapshot.value.find(snapshot.value.named);
  return decide_telling(snapshot.value, root, root.stat.pgid, root.stat.sid == root.stat.pid,
                        snapshot.value.old_terminal.foreground_pgid == root.stat.pgid);
}

TEST(InteractiveShell, IsKnownByItsMasks) {
  proc::Process process = TestSnapshot::make(10, 1, 10, "any");
  EXPECT_FALSE(is_interactive_shell(process));
  process.status.ignored = signals({SIGTTOU, SIGTERM});  // bash, dash
  EXPECT_TRUE(is_interactive_shell(process));
  process.status.ignored = signals({SIGTTOU});
  process.status.caught = signals({SIGTERM});  // fish
  EXPECT_TRUE(is_interactive_shell(process));
  process.status.caught = signals({SIGINT, SIGCHLD});  // a script under set -m with a trap
  EXPECT_FALSE(is_interactive_shell(process));
  process.status.ignored = signals({SIGTSTP});
  process.status.caught = signals({SIGTTOU, SIGTERM});  // xonsh
  EXPECT_TRUE(is_interactive_shell(process));
  process.status.ignored = {};  // a program that catches every signal
  EXPECT_FALSE(is_interactive_shell(process));
  process.status.caught = {};
  process.status.ignored = signals({SIGTERM});
  EXPECT_FALSE(is_interactive_shell(process));
}

TEST(OldShell, OfAForegroundJobIsToldThatSigintEndedIt) {
  const TellShell tell = decide(a_job());
  EXPECT_EQ(tell.how, How::kTold);
  EXPECT_EQ(tell.shell, kShell);
  EXPECT_EQ(tell.job_pgid, 200);
  EXPECT_THAT(tell.children, ElementsAre(200)) << "its own children only";
  EXPECT_EQ(tell.wait_status, SIGINT);
}

TEST(OldShell, ThatHangsUpEndedJobsIsGuarded) {
  TestSnapshot snapshot = a_job();
  snapshot.value.parent->stat.comm = "bash";
  EXPECT_TRUE(decide(snapshot).guard) << "for the instant until its prompt";
  snapshot.foreground(kShell);
  EXPECT_TRUE(decide(snapshot).guard);
  for (const char* const name : {"zsh", "fish", "dash", "tcsh"}) {
    snapshot.value.parent->stat.comm = name;
    EXPECT_FALSE(decide(snapshot).guard) << name;
  }
}

TEST(OldShell, OfABackgroundJobIsToldOfAHangup) {
  TestSnapshot snapshot = a_job();
  snapshot.foreground(kShell);
  const TellShell tell = decide(snapshot);
  EXPECT_EQ(tell.how, How::kTold);
  EXPECT_EQ(tell.wait_status, SIGHUP);
}

TEST(OldShell, AScriptGoesOnWaiting) {
  TestSnapshot snapshot = a_job();
  snapshot.value.parent->status.ignored = {};
  snapshot.value.parent->stat.comm = "script";
  const TellShell tell = decide(snapshot);
  EXPECT_EQ(tell.how, How::kNobody);
  EXPECT_THAT(tell.why, HasSubstr("100 (script)"));
}

TEST(OldShell, OfTheSameGroupOrAnotherSessionIsNotTheJobs) {
  TestSnapshot snapshot = a_job();
  snapshot.value.parent->stat.pgid = 200;
  EXPECT_EQ(decide(snapshot).how, How::kNobody);
  snapshot = a_job();
  snapshot.value.parent->stat.sid = 50;
  EXPECT_EQ(decide(snapshot).how, How::kNobody);
}

TEST(OldShell, InitAndNobodyAreNeverTold) {
  TestSnapshot snapshot = a_job();
  snapshot.value.parent->stat.pid = 1;
  EXPECT_EQ(decide(snapshot).how, How::kNobody);
  snapshot.value.parent.reset();
  EXPECT_EQ(decide(snapshot).how, How::kNobody);
}

TEST(OldShell, ThatRunsGrabIsToldOfItsOtherJob) {
  TestSnapshot snapshot = a_job();
  snapshot.foreground(kGrab);
  snapshot.value.self.lineage = {kGrab, kShell, 1};
  const TellShell tell = decide(snapshot);
  EXPECT_EQ(tell.how, How::kTold);
  EXPECT_TRUE(tell.background);
}

TEST(OldShell, ThatCannotBeTracedSeesAForegroundJobStop) {
  TestSnapshot snapshot = a_job();
  snapshot.value.parent->status.uid.real = 0;
  TellShell tell = decide(snapshot);
  EXPECT_EQ(tell.how, How::kStopFirst);
  EXPECT_THAT(tell.why, HasSubstr("disown"));
  snapshot.foreground(kShell);
  tell = decide(snapshot);
  EXPECT_EQ(tell.how, How::kNobody);
  EXPECT_THAT(tell.why, HasSubstr("disown"));
}

TEST(OldShell, ThatCannotBeTracedIsNamedWithWhatWorksInIt) {
  const auto advice_in = [](const char* name) {
    TestSnapshot snapshot = a_job();
    snapshot.value.parent->stat.comm = name;
    snapshot.value.parent->status.uid.real = 0;
    return decide(snapshot).advice;
  };
  EXPECT_THAT(advice_in("bash"), HasSubstr("`disown 200` in 100 (bash)"));
  EXPECT_THAT(advice_in("fish"), HasSubstr("`disown 200` in 100 (fish)"));
  EXPECT_THAT(advice_in("nu"), HasSubstr("`job unfreeze` in 100 (nu)"));
  EXPECT_THAT(advice_in("zsh"), HasSubstr("`disown %${(k)jobstates[(R)*:200=*]}` in 100 (zsh)"));
  for (const char* const name : {"dash", "busybox", "mksh", "ksh93", "tcsh", "yash"})
    EXPECT_THAT(advice_in(name), HasSubstr("signals none when it ends")) << name;
}

TEST(OldShell, KeepJobTellsNobody) {
  const auto plan = a_job().plan({.whole_tree = true, .keep_job = true});
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->tell.how, How::kNobody);
  EXPECT_THAT(plan->tell.why, HasSubstr("--keep-job"));
}

TestSnapshot a_session_leader() {
  TestSnapshot snapshot;
  snapshot.add(kShell, 50, kShell, "bash");
  snapshot.foreground(kShell);
  snapshot.value.parent = TestSnapshot::make(50, 1, 50, "xterm");
  snapshot.value.parent->stat.sid = 50;
  return snapshot;
}

TEST(OldShell, ThatKillsWhatItHasStoppedIsSeenToByHandThoughItIsTold) {
  TestSnapshot snapshot = a_job();
  snapshot.value.parent->stat.comm = "nu";
  EXPECT_FALSE(decide(snapshot).by_hand_too);
  snapshot.of(200).stat.state = 'T';
  EXPECT_TRUE(decide(snapshot).by_hand_too);
  EXPECT_EQ(decide(snapshot).how, How::kTold);
  snapshot.value.parent->stat.comm = "bash";
  EXPECT_FALSE(decide(snapshot).by_hand_too);
}

TEST(OldShell, OfATreeThatWasMovedBeforeIsToldAgain) {
  TestSnapshot snapshot = a_session_leader();
  proc::Process& shell = *snapshot.value.parent;
  shell.stat.comm = "bash";
  shell.status.ignored = signals({SIGTTOU, SIGTERM});
  shell.stat.tty = 99;
  const TellShell tell = decide(snapshot);
  EXPECT_EQ(tell.how, How::kTold);
  EXPECT_TRUE(tell.again);
  EXPECT_EQ(tell.wait_status, SIGINT);
  shell.status.ignored = {};
  EXPECT_EQ(decide(snapshot).how, How::kNobody) << "a terminal, no shell";
}

TEST(Keeper, OfTheTerminalOfASessionLeaderIsToldThatItExited) {
  TestSnapshot snapshot = a_session_leader();
  snapshot.value.old_ptmx_keepers = {50};
  const TellShell tell = decide(snapshot);
  EXPECT_EQ(tell.how, How::kTold);
  EXPECT_EQ(tell.shell, 50);
  EXPECT_EQ(tell.wait_status, 0);
  EXPECT_TRUE(tell.guard) << "it may hang up a group that has ended";
  EXPECT_THAT(tell.children, ElementsAre(kShell));
}

/// script(1) with the session leader, started by a shell 40.
TestSnapshot a_job_of_script() {
  TestSnapshot snapshot = a_session_leader();
  snapshot.value.old_ptmx_keepers = {50};
  proc::Process& script = *snapshot.value.parent;
  script.stat.comm = "script";
  script.stat.sid = 40;
  script.status.blocked = signals({SIGCHLD, SIGWINCH});
  snapshot.value.parents_parent = TestSnapshot::make(40, 1, 40, "bash");
  snapshot.value.parents_parent->stat.sid = 40;
  snapshot.value.parents_parent->status.ignored = signals({SIGTTOU, SIGTERM});
  return snapshot;
}

TEST(Script, ThatIsTheJobOfAShellEndsAsIfBySigint) {
  const TellShell tell = decide(a_job_of_script());
  EXPECT_EQ(tell.how, How::kTold);
  EXPECT_TRUE(tell.is_script);
  EXPECT_EQ(tell.wait_status, SIGINT);
}

TEST(Script, ThatAScriptHasStartedIsNotTold) {
  TestSnapshot snapshot = a_job_of_script();
  snapshot.value.parents_parent->status.ignored = {};
  EXPECT_EQ(decide(snapshot).how, How::kNobody);
  EXPECT_THAT(decide(snapshot).why, HasSubstr("50 (script) goes on waiting"));
  snapshot = a_job_of_script();
  snapshot.value.parent->stat.pgid = 40;  // in a group of the shell's own: `(script; make)`
  EXPECT_EQ(decide(snapshot).how, How::kNobody);
  snapshot.value.parents_parent.reset();
  EXPECT_EQ(decide(snapshot).how, How::kNobody);
}

TEST(Script, ThatLeadsTheSessionOfAWindowIsTold) {
  TestSnapshot snapshot = a_job_of_script();
  snapshot.value.parent->stat.sid = 50;
  snapshot.value.parents_parent->status.ignored = {};
  EXPECT_TRUE(decide(snapshot).is_script);
}

TEST(Script, IsKnownByItsNameAndByTheSignalItReads) {
  TestSnapshot snapshot = a_job_of_script();
  snapshot.value.parent->status.blocked = {};
  EXPECT_EQ(decide(snapshot).how, How::kTold);
  EXPECT_FALSE(decide(snapshot).is_script);
}

TEST(Keeper, OfATerminalThatAnEarlierMoveHasLeftIsToldAgain) {
  TestSnapshot snapshot = a_session_leader();
  snapshot.value.old_ptmx_keepers = {70};
  snapshot.value.earlier_ptmx_keepers = {50};
  const TellShell tell = decide(snapshot);
  EXPECT_EQ(tell.how, How::kTold);
  EXPECT_EQ(tell.shell, 50);
  EXPECT_TRUE(tell.again);
  EXPECT_TRUE(tell.guard);
}

TEST(Keeper, IsNotTakenForAShellThatWasLeftBehind) {
  TestSnapshot snapshot = a_session_leader();
  snapshot.value.old_ptmx_keepers = {50};
  proc::Process& keeper = *snapshot.value.parent;
  keeper.status.ignored = signals({SIGTTOU, SIGTERM});
  keeper.stat.tty = 99;
  const TellShell tell = decide(snapshot);
  EXPECT_EQ(tell.wait_status, 0);
  EXPECT_FALSE(tell.again);
}

TEST(Keeper, OnlyAParentThatHoldsTheTerminalAndCanBeTraced) {
  TestSnapshot snapshot = a_session_leader();
  EXPECT_EQ(decide(snapshot).how, How::kNobody) << "somebody else holds it";
  snapshot.value.old_ptmx_keepers = {50};
  snapshot.value.parent->status.uid.real = 0;
  EXPECT_EQ(decide(snapshot).how, How::kNobody);
}

}  // namespace
}  // namespace grab::tracer
