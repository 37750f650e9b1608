// SPDX-License-Identifier: MIT
// Every reason not to move a tree: its kind, its sentence and what it says would help.
#include "tracer/refusal.h"

#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tracer/test_snapshot.h"

namespace grab::tracer {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TestSnapshot a_job_of_two() {
  TestSnapshot snapshot;
  snapshot.add(200, kShell, 200);
  snapshot.add(201, 200, 200, "cc1");
  snapshot.foreground(200);
  return snapshot;
}

struct Refusal {
  const char* name;
  std::function<void(TestSnapshot&)> make;
  ErrorKind kind;
  const char* what;
  const char* hint;
};

class RefusalTest : public testing::TestWithParam<Refusal> {};

TEST_P(RefusalTest, SaysWhoAndWhyAndWhatWouldHelp) {
  const Refusal& refusal = GetParam();
  TestSnapshot snapshot = a_job_of_two();
  ASSERT_TRUE(check_movable(snapshot.value, {.whole_tree = true}));
  refusal.make(snapshot);
  const Status status = check_movable(snapshot.value, {.whole_tree = true});
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().kind, refusal.kind);
  EXPECT_THAT(status.error().what, HasSubstr(refusal.what));
  EXPECT_THAT(status.error().hint, HasSubstr(refusal.hint));
  const auto plan = snapshot.plan();
  ASSERT_FALSE(plan) << "nor is it planned";
  EXPECT_EQ(plan.error().what, status.error().what);
}

const std::vector<Refusal>& refusals() {
  static const std::vector<Refusal> all = {
      {"NoProcess", [](TestSnapshot& s) { s.value.named = 4711; }, ErrorKind::kGone,
       "no process 4711", ""},
      {"KernelThread", [](TestSnapshot& s) { s.of(200).stat.flags = 0x00200000; },
       ErrorKind::kRefused, "200 (make) is a kernel thread", "on a terminal"},
      {"Zombie",
       [](TestSnapshot& s) {
         s.of(200).stat.state = 'Z';
         s.of(200).tids.clear();
       },
       ErrorKind::kRefused, "zombie", "nothing left"},
      {"GrabItself",
       [](TestSnapshot& s) {
         s.value.self.lineage = {201, 1};
       },
       ErrorKind::kRefused, "201 (cc1) is grab itself", ""},
      {"Ancestor",
       [](TestSnapshot& s) {
         s.value.self.lineage = {kGrab, 200, 1};
       },
       ErrorKind::kRefused, "200 (make) is an ancestor of grab", "another terminal"},
      {"TerminalKeeper", [](TestSnapshot& s) { s.value.self.terminal_keepers = {201}; },
       ErrorKind::kRefused, "201 (cc1) holds the terminal that grab shows the tree on",
       "does not hold"},
      {"OtherUser", [](TestSnapshot& s) { s.of(201).status.uid.real = 0; }, ErrorKind::kPermission,
       "201 (cc1) belongs to another user (uid 0)", "as root"},
      {"Traced",
       [](TestSnapshot& s) {
         s.of(201).status.tracer = 555;
         s.of(201).tracer_comm = "gdb";
       },
       ErrorKind::kPermission, "201 (cc1) is already traced by 555 (gdb)", "detach"},
      {"GuardedForAnotherUser",
       [](TestSnapshot& s) {
         s.of(201).status.tracer = 555;
         s.of(201).tracer_comm = "grab-jobs";
         s.of(201).tracer_uid = 0;
       },
       ErrorKind::kPermission, "201 (cc1) is already traced by 555 (grab-jobs)", ""},
      {"ClosedToRoot",
       [](TestSnapshot& s) {
         s.value.self.euid = 0;
         s.of(200).readable = false;
       },
       ErrorKind::kPermission, "look into 200 (make) (it may use what its user has mounted by FUSE",
       "as that user (uid 1000)"},
      {"Undumpable", [](TestSnapshot& s) { s.of(200).readable = false; }, ErrorKind::kPermission,
       "look into 200 (make)", "as root"},
      {"Yama", [](TestSnapshot& s) { s.value.self.yama_scope = 1; }, ErrorKind::kPermission,
       "kernel.yama.ptrace_scope is 1", "sysctl"},
      {"YamaForGood", [](TestSnapshot& s) { s.value.self.yama_scope = 3; }, ErrorKind::kPermission,
       "kernel.yama.ptrace_scope is 3", "next boot"},
      {"NoTerminal", [](TestSnapshot& s) { s.value.old_terminal = {}; }, ErrorKind::kRefused,
       "200 (make) has no terminal", "--force-stdio"},
      {"Seccomp", [](TestSnapshot& s) { s.of(201).status.seccomp = 2; }, ErrorKind::kRefused,
       "201 (cc1) runs under a seccomp filter", "--force"},
      {"X32", [](TestSnapshot& s) { s.of(201).x32 = true; }, ErrorKind::kUnsupported,
       "201 (cc1) is a program for the x32 ABI", "64-bit"},
      {"PidNamespace", [](TestSnapshot& s) { s.of(201).ns.pid = 99; }, ErrorKind::kUnsupported,
       "201 (cc1) runs in another pid namespace", ""},
      {"NoVdso", [](TestSnapshot& s) { s.of(201).vdso = 0; }, ErrorKind::kUnsupported,
       "201 (cc1) has no vDSO", ""},
      {"NoRoom", [](TestSnapshot& s) { s.of(201).nofile_limit = 7; }, ErrorKind::kRefused,
       "201 (cc1) has no free descriptor to lend (its RLIMIT_NOFILE is 7)",
       "prlimit --pid 201 --nofile=23:"},
      {"BeyondLimit",
       [](TestSnapshot& s) {
         s.of(201).nofile_limit = 20;
         s.of(201).open_fds = {0, 1, 40};
         s.of(201).moved_fds = {{40, false, 0}};
       },
       ErrorKind::kRefused, "as descriptor 40, beyond its own RLIMIT_NOFILE of 20",
       "prlimit --pid 201 --nofile=56:"},
  };
  return all;
}

INSTANTIATE_TEST_SUITE_P(Each, RefusalTest, testing::ValuesIn(refusals()),
                         [](const auto& of) { return std::string(of.param.name); });

TEST(CheckMovable, RootMayWhatAUserMayNot) {
  TestSnapshot snapshot = a_job_of_two();
  snapshot.value.self.euid = 0;
  snapshot.value.self.yama_scope = 2;
  EXPECT_TRUE(check_movable(snapshot.value, {.whole_tree = true}));
}

TEST(CheckMovable, AGuardOfAnEarlierGrabGivesWayToItsUserAndToRoot) {
  for (const char* name : {"grab-jobs", "grab-guard"}) {
    TestSnapshot snapshot = a_job_of_two();
    snapshot.of(201).status.tracer = 555;
    snapshot.of(201).tracer_comm = name;
    snapshot.of(201).tracer_uid = snapshot.value.self.euid;
    EXPECT_TRUE(check_movable(snapshot.value, {.whole_tree = true}));
    snapshot.of(201).tracer_uid++;
    EXPECT_FALSE(check_movable(snapshot.value, {.whole_tree = true}));
    snapshot.value.self.euid = 0;
    EXPECT_TRUE(check_movable(snapshot.value, {.whole_tree = true}));
  }
}

TEST(CheckMovable, ForceTriesInSpiteOfAFilter) {
  TestSnapshot snapshot = a_job_of_two();
  snapshot.of(201).status.seccomp = 2;
  EXPECT_TRUE(check_movable(snapshot.value, {.whole_tree = true, .force = true}));
}

TEST(CheckMovable, ForceStdioNeedsNoTerminal) {
  TestSnapshot snapshot = a_job_of_two();
  snapshot.value.old_terminal = {};
  for (proc::Process& process : snapshot.value.processes)
    process.stat.tty = 0;
  EXPECT_TRUE(check_movable(snapshot.value, {.whole_tree = true, .force_stdio = true}));
}

TEST(CheckMovable, AZombieHasNeitherVdsoNorOwner) {
  TestSnapshot snapshot = a_job_of_two();
  snapshot.add_zombie(202, 200, 200);
  EXPECT_TRUE(check_movable(snapshot.value, {.whole_tree = true}));
}

TEST(CheckMovable, WhatOurOwnTracerHoldsIsNotTracedByAnother) {
  TestSnapshot snapshot = a_job_of_two();
  snapshot.of(201).status.tracer = kGrab;
  EXPECT_TRUE(check_movable(snapshot.value, {.whole_tree = true}));
}

TEST(CheckMovable, OneProcessMustBeAloneOnItsTerminal) {
  TestSnapshot snapshot = a_job_of_two();
  Status status = check_movable(snapshot.value, {});
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().kind, ErrorKind::kRefused);
  EXPECT_THAT(status.error().what, HasSubstr("200 (make) is not alone: 1 process belongs"));
  EXPECT_THAT(status.error().hint, HasSubstr("grab --tree 200"));

  proc::Process& other = snapshot.of(201);  // nothing of the terminal, but its group
  other.stat.tty = 0;
  other.moved_fds.clear();
  EXPECT_FALSE(check_movable(snapshot.value, {}));
  other.stat.pgid = other.stat.sid = 201;
  EXPECT_TRUE(check_movable(snapshot.value, {}));
}

TEST(CheckMovable, ALeaderOnAnotherTerminalIsNamed) {
  TestSnapshot snapshot;  // 101 has dropped the terminal of its leader and has another one open
  snapshot.add(101, 1, kShell, "orphan").stat.tty = 0;
  snapshot.add(kShell, 50, kShell, "bash").stat.tty = makedev(136, 9);
  snapshot.value.parent = TestSnapshot::make(50, 1, 50, "sshd");
  const auto plan = snapshot.plan();
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().kind, ErrorKind::kRefused);
  EXPECT_THAT(plan.error().what, HasSubstr("100 (bash) leads a session on another terminal"));
  EXPECT_THAT(plan.error().hint, HasSubstr("grab --tree 100"));
}

TEST(LentDescriptors, CountsDescriptionsOnce) {
  proc::Process process = TestSnapshot::make(7, 1, 7, "a");
  process.moved_fds = {{0, false, 0}, {1, false, 0}, {2, false, 1}};
  EXPECT_EQ(lent_descriptors(process), 8U);
  process.moved_fds.clear();
  EXPECT_EQ(lent_descriptors(process), 4U);
  process.stale_watches = {{{5, 8}, 0, true}, {{6, 8}, 0, true}, {{5, 9}, 0, false}};
  EXPECT_EQ(lent_descriptors(process), 4U + 1 + 2 + 2) << "one file is put aside, two sets";
}

TEST(FreeDescriptors, FillHolesFirst) {
  proc::Process process = TestSnapshot::make(7, 1, 7, "a");
  process.open_fds = {0, 2, 3, 7};
  EXPECT_THAT(free_descriptors(process, 5), ElementsAre(1, 4, 5, 6, 8));
  process.open_fds.clear();
  EXPECT_THAT(free_descriptors(process, 2), ElementsAre(0, 1));
  EXPECT_TRUE(free_descriptors(process, 0).empty());
}

TEST(FreeDescriptors, AreNotThoseThatAreOpenedAgain) {
  proc::Process process = TestSnapshot::make(7, 1, 7, "a");
  process.open_fds = {0, 1, 2};
  process.stale_watches = {{{5, 4}, 0, false}};
  EXPECT_THAT(free_descriptors(process, 3), ElementsAre(3, 5, 6));
}

TEST(Room, OfASharedTableIsCountedForAllThatShareIt) {
  TestSnapshot snapshot = a_job_of_two();
  snapshot.of(201).fd_table_of = 200;
  // 0-2 are in use; the first lends six, the second four more.
  for (proc::Process& process : snapshot.value.processes)
    process.nofile_limit = 13;
  EXPECT_TRUE(check_movable(snapshot.value, {.whole_tree = true}));
  for (proc::Process& process : snapshot.value.processes)
    process.nofile_limit = 12;
  const Status status = check_movable(snapshot.value, {.whole_tree = true});
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().what, HasSubstr("no free descriptor"));
}

TEST(CheckKeeper, RefusesToMoveALeaderFromUnderOneThatCannotBeTold) {
  TestSnapshot snapshot;
  snapshot.add(200, 199, 200, "bash");
  snapshot.of(200).stat.sid = 200;
  snapshot.value.parent->stat.pid = 199;
  snapshot.value.parent->stat.comm = "xterm";
  const auto status = [&](bool force = false) {
    return check_movable(snapshot.value, {.whole_tree = true, .force = force});
  };
  EXPECT_TRUE(status());
  snapshot.value.parent->readable = false;
  ASSERT_FALSE(status());
  EXPECT_EQ(status().error().kind, ErrorKind::kPermission);
  EXPECT_THAT(status().error().what, HasSubstr("199 (xterm) may hang up 200 (bash)"));
  EXPECT_TRUE(status(true)) << "forced";
  snapshot.value.old_ptmx_keepers = {50};
  EXPECT_TRUE(status()) << "somebody else keeps its terminal";
  snapshot.value.old_ptmx_keepers = {};
  snapshot.value.parent->stat.comm = "sshd";
  EXPECT_TRUE(status()) << "sshd hangs up nobody";
}

TEST(CheckDrawers, NamesTheServerAndWhatAttachesToItElsewhere) {
  const proc::Terminal terminal{kTerminal, "/dev/pts/3", kShell, 200};
  EXPECT_TRUE(check_drawers({}, terminal, {}));
  const std::vector<proc::Drawer> drawers = {{300, "screen"}};
  const Status status = check_drawers(drawers, terminal, {});
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().kind, ErrorKind::kRefused);
  EXPECT_THAT(status.error().what, HasSubstr("300 (screen), a server, draws on /dev/pts/3"));
  EXPECT_THAT(status.error().hint, HasSubstr("screen -dr"));
  EXPECT_TRUE(check_drawers(drawers, terminal, {.force = true}));
}

}  // namespace
}  // namespace grab::tracer
