// SPDX-License-Identifier: MIT
// Plans and tables of trees of which a part is in another pid namespace.
#include <fcntl.h>
#include <linux/kcmp.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cstring>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "proc/pid_numbers.h"
#include "tracer/batch_table.h"
#include "tracer/lent_numbers.h"
#include "tracer/passing.h"
#include "tracer/test_snapshot.h"

namespace grab::tracer {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::uint64_t kInside = 77;

void put_inside(proc::Process& process, pid_t pid, pid_t pgid, std::uint64_t ns = kInside) {
  process.ns.pid = ns;
  process.status.ns_pids = {process.stat.pid, pid};
  process.status.ns_pgids = {process.stat.pgid, pgid};
}

// unshare 200 in the foreground, and in there a script, its first process, and its child.
TestSnapshot container_in_foreground() {
  TestSnapshot snapshot;
  snapshot.add(200, kShell, 200, "unshare");
  put_inside(snapshot.add(201, 200, 200, "sh"), 1, 0);
  put_inside(snapshot.add(202, 201, 200, "cc1"), 2, 0);
  snapshot.foreground(200);
  return snapshot;
}

TEST(PidNumbers, AreTheSameWithinOurNamespaceAndTheirsElsewhere) {
  TestSnapshot snapshot = container_in_foreground();
  put_inside(snapshot.add(203, 201, 203, "job"), 3, 3);
  put_inside(snapshot.add(204, 200, 204, "other"), 1, 1, 78);
  const proc::Process& outside = snapshot.of(200);
  const proc::Process& inside = snapshot.of(201);
  EXPECT_EQ(proc::number_for(snapshot.value, outside, 202), 202);
  EXPECT_EQ(proc::number_for(snapshot.value, inside, 202), 2);
  EXPECT_EQ(proc::number_for(snapshot.value, inside, 203), 3);
  EXPECT_EQ(proc::number_for(snapshot.value, inside, 200), 0) << "its group is led from outside";
  EXPECT_EQ(proc::number_for(snapshot.value, inside, 204), 0) << "in another container";
}

TEST(PidNumbers, OfAGroupWhoseLeaderHasEndedComeFromItsMembers) {
  TestSnapshot snapshot = container_in_foreground();
  put_inside(snapshot.add(205, 201, 204), 5, 4);
  EXPECT_EQ(proc::number_for(snapshot.value, snapshot.of(201), 204), 4);
}

TEST(Container, WhatIsInOneLeavesItsGroupOnlyWhenAllHavePrepared) {
  const auto plan = container_in_foreground().plan();
  ASSERT_TRUE(plan) << plan.error().message();
  EXPECT_EQ(plan->topology, Topology::kNewSession);
  EXPECT_EQ(plan->root, 200);
  for (const pid_t pid : {201, 202}) {
    const ProcessPlan& follower = *plan->find(pid);
    EXPECT_EQ(find_step<step::JoinGroup>(follower.prepare), nullptr);
    ASSERT_TRUE(follower.depart);
    EXPECT_EQ(follower.depart->pgid, 201);
    EXPECT_EQ(follower.depart->front_pgid, 201);
  }
  EXPECT_EQ(find_step<step::NewSession>(plan->find(200)->commit)->via_pgid, 201);
  EXPECT_THAT(plan->follower_pgids, ElementsAre(201));
}

TEST(Container, EachHasAGroupOfItsOwnAndTheOthersOne) {
  TestSnapshot snapshot = container_in_foreground();
  put_inside(snapshot.add(203, 200, 200, "sh"), 1, 0, 78);
  snapshot.add(204, 200, 200, "cat");
  const auto plan = snapshot.plan();
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->find(202)->depart->pgid, 201);
  EXPECT_EQ(plan->find(203)->depart->pgid, 203);
  EXPECT_FALSE(plan->find(204)->depart);
  EXPECT_EQ(find_step<step::JoinGroup>(plan->find(204)->prepare)->pgid, 204);
  EXPECT_THAT(plan->follower_pgids, ElementsAre(201, 203, 204));
}

TEST(Container, WhatCannotComeBackToASessionLeadersGroupIsTheRelaysToSignal) {
  TestSnapshot snapshot = container_in_foreground();
  snapshot.of(200).stat.sid = 200;
  snapshot.of(201).stat.sid = 200;
  snapshot.of(202).stat.sid = 200;
  const auto plan = snapshot.plan();
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->topology, Topology::kSessionLeader);
  EXPECT_EQ(find_step<step::JoinGroup>(plan->find(201)->commit), nullptr);
  EXPECT_THAT(plan->follower_pgids, ElementsAre(201));
}

TEST(Container, AGroupOfItsOwnInThereIsKept) {
  TestSnapshot snapshot = container_in_foreground();
  for (const pid_t pid : {201, 202}) {
    snapshot.of(pid).stat.pgid = 201;
    snapshot.of(pid).status.ns_pgids = {201, 1};
  }
  snapshot.foreground(201);
  const auto plan = snapshot.plan();
  ASSERT_TRUE(plan);
  EXPECT_FALSE(plan->find(201)->depart);
  EXPECT_FALSE(plan->find(202)->depart);
}

TEST(Container, NamedWithoutItsJobOutsideIsRefusedWithTheNameOfThat) {
  TestSnapshot snapshot = container_in_foreground();
  snapshot.value.parent = snapshot.of(200);
  std::erase_if(snapshot.value.processes, [](const auto& p) { return p.stat.pid == 200; });
  snapshot.value.named = 201;
  const auto plan = snapshot.plan();
  ASSERT_FALSE(plan);
  EXPECT_THAT(plan.error().what, HasSubstr("201 (sh) is in a container"));
  EXPECT_EQ(plan.error().hint, "grab --tree 200 moves both");
}

TEST(Container, OnAKernelThatDoesNotTellItsNumberItIsRefused) {
  TestSnapshot snapshot = container_in_foreground();
  snapshot.of(202).status.ns_pids.clear();
  const auto plan = snapshot.plan();
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().kind, ErrorKind::kUnsupported);
}

BatchTable table_of(const TestSnapshot& snapshot, pid_t pid, std::uint64_t page = 0x10000) {
  const auto plan = snapshot.plan();
  TableRequest request;
  request.plan = plan->find(pid);
  request.process = snapshot.value.find(pid);
  request.snapshot = &snapshot.value;
  request.donor = {kGrab, {50, 51, 52}, 60, 61, true};
  request.tid = 1;
  request.page = Page{page, 8192, true};
  request.lent = LentNumbers().of(*request.process);
  return make_batch_table(request);
}

std::vector<const arch::Call*> calls(const BatchTable& batch, int number) {
  std::vector<const arch::Call*> found;
  for (const arch::Call& call : batch.table.calls) {
    if (call.number == number && !call.is_end)
      found.push_back(&call);
  }
  return found;
}

TEST(Container, ItsProcessesCallThemselvesAndTheirGroupAsTheyAreCalledInThere) {
  const BatchTable batch = table_of(container_in_foreground(), 202);
  for (const arch::Call* stop : calls(batch, SYS_tgkill))
    EXPECT_EQ(stop->args[0].value, 2);
  const auto groups = calls(batch, SYS_setpgid);
  ASSERT_EQ(groups.size(), 1U) << "there is no way back to that of before";
  EXPECT_EQ(groups[0]->args[1].value, 1);
  EXPECT_EQ(&batch.table.calls[batch.depart], groups[0]);
}

TEST(Container, WhatHasLeftItsGroupCommitsIfTheTracerDies) {
  const BatchTable batch = table_of(container_in_foreground(), 201);
  EXPECT_EQ(batch.names[batch.depart_stop].text(), "stop");
  EXPECT_EQ(batch.depart_stop + 1, batch.commit);
}

TEST(Container, WhatHasLeftItsGroupIsTheForegroundIfTheMoveIsUndone) {
  const BatchTable batch = table_of(container_in_foreground(), 201);
  const arch::Call& first = batch.table.calls.at(batch.front);
  EXPECT_EQ(first.number, SYS_ioctl);
  EXPECT_FALSE(first.any_result) << "it goes to the stop before undo";
  EXPECT_TRUE(batch.detours.contains(batch.front));
  std::int32_t group = 0;
  std::memcpy(&group, batch.table.data.data() + first.args[2].value, sizeof group);
  EXPECT_EQ(group, 1);
  TestSnapshot background = container_in_foreground();
  background.foreground(kShell);
  EXPECT_EQ(table_of(background, 201).front, 0U);
}

TEST(Container, TakesNothingButIsSentWhatItIsDue) {
  const BatchTable batch = table_of(container_in_foreground(), 201);
  EXPECT_THAT(calls(batch, SYS_pidfd_open), IsEmpty());
  EXPECT_THAT(calls(batch, SYS_pidfd_getfd), IsEmpty());
  EXPECT_THAT(batch.sent, ElementsAre(50, 61));
  EXPECT_THAT(batch.pair, ElementsAre(3, 4));
  EXPECT_EQ(batch.table.calls[batch.channel].number, SYS_socketpair);
  EXPECT_TRUE(batch.detours.contains(batch.channel)) << "it goes to the stop before undo";
  EXPECT_EQ(batch.table.calls[batch.prepare].number, SYS_recvmsg);
  EXPECT_EQ(batch.table.calls[batch.prepare].args[0].value, 3);
  const auto kept_old = calls(batch, SYS_fcntl);
  EXPECT_EQ(kept_old.front()->expected, 7) << "5 and 6 are received";
}

TEST(Mailbox, TakesAsManyDescriptorsAsAreSentHoweverMany) {
  for (const std::size_t count : {0U, 1U, 3U, 200U, 201U, 450U}) {
    SCOPED_TRACE(count);
    std::vector<std::byte> memory(1U << 14U);
    const auto at = reinterpret_cast<std::uint64_t>(memory.data());
    const Mailbox mailbox(at, count);
    ASSERT_LE(mailbox.bytes().size(), memory.size());
    std::copy(mailbox.bytes().begin(), mailbox.bytes().end(), memory.begin());
    int pair[2] = {};
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    const UniqueFd ours(pair[1]);
    const UniqueFd theirs(pair[0]);
    const std::vector<int> fds(count, ours.get());
    ASSERT_TRUE(send_descriptors(ours.get(), fds));
    std::size_t got = 0;
    for (const std::uint64_t header_at : mailbox.headers_at()) {
      auto* header = reinterpret_cast<msghdr*>(header_at);
      ASSERT_EQ(recvmsg(theirs.get(), header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC), 1);
      EXPECT_EQ(header->msg_flags & MSG_CTRUNC, 0);
      const cmsghdr* message = CMSG_FIRSTHDR(header);
      const std::size_t here = (message->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      for (std::size_t i = 0; i < here; ++i) {
        int fd = -1;
        std::memcpy(&fd, CMSG_DATA(message) + i * sizeof fd, sizeof fd);
        EXPECT_EQ(syscall(SYS_kcmp, getpid(), getpid(), KCMP_FILE, fd, ours.get()), 0);
        close(fd);
      }
      got += here;
    }
    EXPECT_EQ(got, count);
  }
}

}  // namespace
}  // namespace grab::tracer
