// SPDX-License-Identifier: MIT
// The tables of calls: their order, what each expects, and that every prepare has its undo.
#include "tracer/batch_table.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cstring>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tracer/lent_numbers.h"
#include "tracer/test_snapshot.h"

namespace grab::tracer {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

struct Case {
  proc::Process process;
  ProcessPlan plan;
};

Case a_follower() {
  Case made;
  made.process = TestSnapshot::make(200, kShell, 200, "make");
  made.plan.pid = 200;
  made.plan.prepare = {step::MoveDescriptors{made.process.moved_fds, {}},
                       step::JoinGroup{201, 200}};
  made.plan.commit = {step::DropTerminal{}};
  return made;
}

BatchTable table_of(const Case& made, std::vector<int> lent = {}) {
  TableRequest request;
  request.plan = &made.plan;
  request.process = &made.process;
  request.donor = {kGrab, {50, 51, 52}, 60, 61, false};
  request.tid = 200;
  request.signal_mask = 0xabcdef;
  request.lent = lent.empty() ? LentNumbers().of(made.process) : std::move(lent);
  return make_batch_table(request);
}

std::vector<std::string> names(const BatchTable& batch, std::size_t from, std::size_t to) {
  std::vector<std::string> texts;
  for (std::size_t i = from; i < to; ++i)
    texts.push_back(batch.names[i].text());
  return texts;
}

std::vector<const arch::Call*> calls(const BatchTable& batch, std::size_t from, std::size_t to,
                                     int number) {
  std::vector<const arch::Call*> found;
  for (std::size_t i = from; i < to; i++) {
    const arch::Call& call = batch.table.calls.at(i);
    if (call.number == number && !call.is_end)
      found.push_back(&call);
  }
  return found;
}

TEST(BatchTable, OfAFollowerPreparesThenStops) {
  const BatchTable batch = table_of(a_follower());
  EXPECT_EQ(batch.prepare, 0U);
  EXPECT_THAT(
      names(batch, batch.prepare, batch.first_stop),
      ElementsAre("pidfd_open", "pidfd_getfd of the new terminal",
                  "pidfd_getfd of the old terminal", "fcntl(F_DUPFD) of descriptor 0", "close",
                  "fcntl(F_GETFD) of descriptor 0", "fcntl(F_GETFD) of descriptor 1",
                  "fcntl(F_GETFD) of descriptor 2", "dup3 of descriptor 0", "dup3 of descriptor 1",
                  "dup3 of descriptor 2", "setpgid"));
  EXPECT_EQ(batch.names[batch.first_stop].text(), "stop");
  EXPECT_LT(batch.first_stop, batch.undo);
  EXPECT_LT(batch.undo, batch.undo_stop);
  EXPECT_LT(batch.undo_stop, batch.commit);
}

TEST(BatchTable, ReceivedDescriptorsAreThoseThatAreFree) {
  Case made = a_follower();
  made.process.open_fds = {0, 1, 2, 4, 6};
  const BatchTable batch = table_of(made);
  EXPECT_EQ(batch.table.calls[0].expected, 3);  // the channel
  EXPECT_EQ(batch.table.calls[1].expected, 5);
  EXPECT_EQ(batch.table.calls[2].expected, 7);
  EXPECT_EQ(batch.table.calls[3].expected, 8);
  for (std::size_t i = 0; i < 4; i++)
    EXPECT_TRUE(batch.table.calls[i].yields_descriptor) << batch.names[i].text();
  EXPECT_EQ(batch.table.calls[4].args[0].value, 3) << "the channel is closed";
  EXPECT_THAT(batch.kept, ElementsAre(5, 7, 8));
}

TEST(BatchTable, SharersOfATableGetWhatTheFirstLeavesFree) {
  const Case first = a_follower();
  Case second = a_follower();
  second.process.stat.pid = second.plan.pid = 201;
  second.process.fd_table_of = 200;
  second.plan.prepare = {step::JoinGroup{201, 200}};
  LentNumbers lent;
  const BatchTable one = table_of(first, lent.of(first.process));
  EXPECT_FALSE(lent.keep(first.process, one.kept));
  EXPECT_THAT(one.kept, ElementsAre(4, 5, 6));
  const BatchTable two = table_of(second, lent.of(second.process));
  EXPECT_TRUE(lent.keep(second.process, two.kept)) << "it has to wait for the first";
  EXPECT_EQ(two.table.calls[0].expected, 3) << "the first has closed its channel again";
  EXPECT_THAT(two.kept, ElementsAre(7));
  EXPECT_EQ(lent.of(first.process).front(), 3) << "asked again, its own are its own";
  EXPECT_EQ(lent.of(first.process)[1], 4);
}

TEST(BatchTable, SharingAndCloseOnExecAreKept) {
  Case made = a_follower();
  made.process.moved_fds = {{0, false, 0}, {1, true, 1}, {2, true, 0}};
  made.plan.prepare[0] = step::MoveDescriptors{made.process.moved_fds, {}};
  const BatchTable batch = table_of(made);
  const auto dups = calls(batch, batch.prepare, batch.first_stop, SYS_dup3);
  ASSERT_EQ(dups.size(), 3U);
  EXPECT_EQ(dups[0]->args[0].value, dups[2]->args[0].value) << "one description, one successor";
  EXPECT_NE(dups[0]->args[0].value, dups[1]->args[0].value);
  EXPECT_EQ(dups[0]->args[2].value, 0);
  EXPECT_EQ(dups[1]->args[2].value, O_CLOEXEC);
  EXPECT_EQ(dups[2]->args[2].value, O_CLOEXEC);
  const auto gets = calls(batch, batch.prepare, batch.first_stop, SYS_pidfd_getfd);
  ASSERT_EQ(gets.size(), 3U);
  EXPECT_EQ(gets[0]->args[1].value, 50);
  EXPECT_EQ(gets[1]->args[1].value, 51);
  EXPECT_EQ(gets[2]->args[1].value, 61) << "the old terminal, to drop it";
}

TEST(BatchTable, EveryPrepareHasItsUndoInReverse) {
  const BatchTable batch = table_of(a_follower());
  EXPECT_THAT(names(batch, batch.undo, batch.undo_stop),
              ElementsAre("setpgid", "dup3 of descriptor 0", "dup3 of descriptor 1",
                          "dup3 of descriptor 2", "close_range"));
  const auto groups = calls(batch, batch.undo, batch.undo_stop, SYS_setpgid);
  ASSERT_EQ(groups.size(), 1U);
  EXPECT_EQ(groups[0]->args[1].value, 200);
  std::set<int> made;  // whatever prepare opens, undo closes
  for (std::size_t i = batch.prepare; i < batch.first_stop; i++) {
    if (batch.table.calls[i].yields_descriptor)
      made.insert(batch.table.calls[i].expected);
  }
  std::set<int> closed;
  for (const arch::Call* call : calls(batch, batch.undo, batch.undo_stop, SYS_close_range)) {
    for (auto fd = call->args[0].value; fd <= call->args[1].value; fd++)
      closed.insert(static_cast<int>(fd));
  }
  EXPECT_EQ(made, closed);
  for (std::size_t i = batch.undo; i < batch.undo_stop; i++)
    EXPECT_TRUE(batch.table.calls[i].any_result) << "an undo is never stopped half way";
  const auto back = calls(batch, batch.undo, batch.undo_stop, SYS_dup3);
  const auto forth = calls(batch, batch.prepare, batch.first_stop, SYS_fcntl);
  for (const arch::Call* call : back)
    EXPECT_EQ(call->args[0].value, forth[0]->expected) << "the copy of the old description";
}

TEST(BatchTable, WhatCannotBeUndoneIsOnlyInCommit) {
  Case made = a_follower();
  made.plan.commit = {step::LeaveAsLeader{}, step::TakeTerminal{200}, step::NewSession{201}};
  const BatchTable batch = table_of(made);
  for (const int number : {SYS_setsid, SYS_ioctl, SYS_rt_sigtimedwait}) {
    EXPECT_THAT(calls(batch, 0, batch.commit, number), IsEmpty());
    EXPECT_FALSE(calls(batch, batch.commit, batch.table.calls.size(), number).empty());
  }
}

TEST(BatchTable, LeavesATerminalAsLeaderInTheOrderThatHangsUpNobodyElse) {
  Case made = a_follower();
  made.plan.prepare.pop_back();
  made.plan.commit = {step::LeaveAsLeader{}, step::TakeTerminal{300}};
  BatchTable batch = table_of(made);
  auto commit = names(batch, batch.commit, batch.table.calls.size());
  EXPECT_THAT(commit,
              ElementsAre("ioctl(TIOCSPGRP) of the old terminal", "ioctl(TIOCNOTTY)",
                          "rt_sigtimedwait", "rt_sigtimedwait", "ioctl(TIOCSCTTY)",
                          "ioctl(TIOCSPGRP)", "close_range", "stop", "rt_sigprocmask", "end"));
  made.plan.commit = {step::LeaveAsLeader{false, true}, step::TakeTerminal{0}};
  batch = table_of(made);
  const auto waits = calls(batch, batch.commit, batch.table.calls.size(), SYS_rt_sigtimedwait);
  ASSERT_EQ(waits.size(), 1U);
  std::uint64_t set = 0;
  ASSERT_TRUE(waits[0]->args[0].in_data);
  std::memcpy(&set, &batch.table.data.at(static_cast<std::size_t>(waits[0]->args[0].value)),
              sizeof set);
  EXPECT_EQ(set, 1ULL << (SIGCONT - 1));
}

TEST(BatchTable, NoWayBackIsBehindWhatCannotBeUndone) {
  Case made = a_follower();
  made.plan.role = Role::kRoot;
  made.plan.commit = {step::NewSession{201}, step::TakeTerminal{}};
  BatchTable batch = table_of(made);
  EXPECT_EQ(batch.names[batch.no_return - 1].text(), "setsid");
  made.plan.commit = {step::LeaveAsLeader{true, true, 77}, step::TakeTerminal{}};
  batch = table_of(made);
  EXPECT_EQ(batch.names[batch.no_return - 1].text(), "ioctl(TIOCNOTTY)");
  made.plan.commit = {step::JoinGroup{201, 200}, step::DropTerminal{}};
  batch = table_of(made);
  EXPECT_EQ(batch.names[batch.no_return - 1].text(), "ioctl(TIOCNOTTY)");
  made.plan.role = Role::kFollower;  // root has passed it by then
  batch = table_of(made);
  EXPECT_EQ(batch.no_return, batch.commit);
}

TEST(BatchTable, ALeaderThatStaysGivesTheForegroundBack) {
  Case made = a_follower();
  made.plan.commit = {step::LeaveAsLeader{true, true, 77}, step::TakeTerminal{}};
  const BatchTable batch = table_of(made);
  const auto back = calls(batch, batch.undo, batch.undo_stop, SYS_ioctl);
  ASSERT_EQ(back.size(), 1U);
  EXPECT_EQ(back[0]->args[1].value, TIOCSPGRP);
  pid_t pgid = 0;
  std::memcpy(&pgid, &batch.table.data.at(static_cast<std::size_t>(back[0]->args[2].value)),
              sizeof pgid);
  EXPECT_EQ(pgid, 77);
}

TEST(BatchTable, WhoeverUndoesAloneLeavesTheForegroundToItsShell) {
  Case made = a_follower();
  made.plan.commit = {step::LeaveFront{66, 77}, step::NewSession{201}, step::TakeTerminal{}};
  const BatchTable batch = table_of(made);
  const auto back = calls(batch, batch.undo, batch.undo_stop, SYS_ioctl);
  ASSERT_EQ(back.size(), 1U);
  EXPECT_EQ(back[0], &batch.table.calls.at(batch.undo_front.value()));
  EXPECT_EQ(back[0]->args[kRequestArgument].value, 0);
  pid_t pgid = 0;
  std::memcpy(&pgid, &batch.table.data.at(static_cast<std::size_t>(back[0]->args[2].value)),
              sizeof pgid);
  EXPECT_EQ(pgid, 77);
}

TEST(BatchTable, NewSessionStepsAsideFirstAndExpectsItsPid) {
  Case made = a_follower();
  made.plan.commit = {step::NewSession{201}, step::TakeTerminal{}};
  const BatchTable batch = table_of(made);
  EXPECT_EQ(batch.names[batch.commit].text(), "setpgid");
  EXPECT_EQ(batch.table.calls[batch.commit].args[1].value, 201);
  EXPECT_EQ(batch.table.calls[batch.commit + 1].number, SYS_setsid);
  EXPECT_EQ(batch.table.calls[batch.commit + 1].expected, 200);
}

TEST(BatchTable, EachPartPutsTheMaskBackAndEnds) {
  const BatchTable batch = table_of(a_follower());
  const auto masks = calls(batch, 0, batch.table.calls.size(), SYS_rt_sigprocmask);
  ASSERT_EQ(masks.size(), 2U);
  for (const arch::Call* call : masks) {
    std::uint64_t mask = 0;
    std::memcpy(&mask, &batch.table.data.at(static_cast<std::size_t>(call->args[1].value)),
                sizeof mask);
    EXPECT_EQ(mask, 0xabcdefU);
  }
  EXPECT_TRUE(batch.table.calls[batch.commit - 1].is_end);
  EXPECT_TRUE(batch.table.calls.back().is_end);
  EXPECT_EQ(batch.table.calls[batch.undo_stop].args[kStopSignalArgument].value, 0)
      << "alone, the undo does not stop";
  EXPECT_EQ(batch.table.calls[batch.first_stop].args[kStopSignalArgument].value, SIGSTOP);
}

TEST(BatchTable, EpollEntriesGoRoundTheMove) {
  Case made = a_follower();
  const std::vector<proc::EpollWatch> watches = {{5, 0, EPOLLIN | EPOLLET, 0x1122334455667788}};
  made.plan.prepare[0] = step::MoveDescriptors{made.process.moved_fds, watches};
  const BatchTable batch = table_of(made);
  for (const auto& [from, to] :
       {std::pair(batch.prepare, batch.first_stop), std::pair(batch.undo, batch.undo_stop)}) {
    const auto controls = calls(batch, from, to, SYS_epoll_ctl);
    ASSERT_EQ(controls.size(), 2U);
    const auto dups = calls(batch, from, to, SYS_dup3);
    EXPECT_LT(controls[0], dups.front());
    EXPECT_GT(controls[1], dups.back());
    EXPECT_EQ(controls[0]->args[1].value, EPOLL_CTL_DEL);
    EXPECT_EQ(controls[1]->args[1].value, EPOLL_CTL_ADD);
    epoll_event event{};
    std::memcpy(&event, &batch.table.data.at(static_cast<std::size_t>(controls[1]->args[3].value)),
                sizeof event);
    EXPECT_EQ(event.events, EPOLLIN | EPOLLET);
    EXPECT_EQ(event.data.u64, 0x1122334455667788U);
  }
}

TEST(BatchTable, ANumberThatHasBeenClosedIsOpenWhileItsEpollEntryIsMoved) {
  Case made = a_follower();
  const proc::StaleWatch closed{{5, 4, EPOLLIN, 1}, 0, false};
  made.process.open_fds = {0, 1, 2, 5};
  made.process.stale_watches = {closed};
  made.plan.prepare[0] = step::MoveDescriptors{made.process.moved_fds, {}, {closed}};
  const BatchTable batch = table_of(made);
  EXPECT_EQ(batch.names[batch.prepare].text(), "dup3 of descriptor 4") << "before any other";
  EXPECT_EQ(batch.table.calls[batch.prepare].args[0].value, 0);
  EXPECT_THAT(names(batch, batch.prepare + 12, batch.prepare + 16),
              ElementsAre("dup3 of descriptor 4", "epoll_ctl(EPOLL_CTL_DEL) of descriptor 4",
                          "dup3 of descriptor 4", "epoll_ctl(EPOLL_CTL_ADD) of descriptor 4"));
  EXPECT_THAT(batch.kept, testing::Contains(4)) << "closed at the end";
}

TEST(BatchTable, AFileIsPutAsideBeforeItsNumberIsLent) {
  Case made = a_follower();
  const proc::StaleWatch in_use{{5, 6, EPOLLIN, 1}, 0, true, true};
  made.process.open_fds = {0, 1, 2, 5, 6};
  made.process.stale_watches = {in_use};
  made.plan.prepare[0] = step::MoveDescriptors{made.process.moved_fds, {}, {in_use}};
  const BatchTable batch = table_of(made);
  EXPECT_EQ(batch.names[batch.prepare].text(), "fcntl(F_DUPFD) of descriptor 6");
  EXPECT_EQ(batch.table.calls[batch.prepare].expected, 3);
  for (const auto& [from, to] :
       {std::pair(batch.prepare, batch.first_stop), std::pair(batch.undo, batch.undo_stop)}) {
    std::vector<const arch::Call*> onto;
    for (const arch::Call* call : calls(batch, from, to, SYS_dup3)) {
      if (call->args[1].value == 6)
        onto.push_back(call);
    }
    ASSERT_EQ(onto.size(), 3U);
    EXPECT_EQ(onto.back()->args[0].value, 3) << "its own file, at last";
    EXPECT_EQ(onto.back()->args[2].value, O_CLOEXEC);
  }
}

TEST(BatchTable, WhoOnlyChangesItsGroupOpensNothing) {
  Case made = a_follower();
  made.plan.prepare = {step::JoinGroup{201, 200}};
  made.plan.commit = {step::JoinGroup{200, 200}};
  const BatchTable batch = table_of(made);
  EXPECT_THAT(names(batch, batch.prepare, batch.first_stop), ElementsAre("setpgid"));
  EXPECT_THAT(calls(batch, 0, batch.table.calls.size(), SYS_close), IsEmpty());
  EXPECT_THAT(calls(batch, 0, batch.table.calls.size(), SYS_close_range), IsEmpty());
  EXPECT_THAT(batch.kept, IsEmpty());
}

TEST(BatchTable, ClosesNothingThatIsNotLent) {
  Case made = a_follower();
  made.process.open_fds = {0, 1, 2, 4, 6};
  const BatchTable batch = table_of(made);  // lends 3, 5, 7 and 8
  for (const auto& [from, to] : {std::pair(batch.undo, batch.undo_stop),
                                 std::pair(batch.commit, batch.table.calls.size())}) {
    std::vector<std::pair<int, int>> ranges;
    for (const arch::Call* call : calls(batch, from, to, SYS_close_range))
      ranges.emplace_back(call->args[0].value, call->args[1].value);
    std::erase(ranges, std::pair(3, 3));  // the channel, in undo only
    EXPECT_THAT(ranges, ElementsAre(std::pair(5, 5), std::pair(7, 8)));
  }
}

TEST(BatchTable, NamesEveryCall) {
  const BatchTable batch = table_of(a_follower());
  EXPECT_EQ(batch.names.size(), batch.table.calls.size());
}

}  // namespace
}  // namespace grab::tracer
