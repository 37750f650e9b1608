// SPDX-License-Identifier: MIT
#include "relay/groups.h"

#include "relay/relay_fixture.h"

namespace grab::relay::fixture {
namespace {

// A group leader that forks a child into its group and waits for `go` to end.
Forked leader_with_child(const Pipe& pids, const Pipe& go) {
  return run({pids.write.get(), go.read.get()}, [&] {
    (void)::setpgid(0, 0);
    const pid_t child = ::fork();
    if (child == 0) {
      for (;;)
        (void)::pause();
    }
    say({reinterpret_cast<const char*>(&child), sizeof child}, pids.write.get());
    read_byte(go.read.get());
    return 0;
  });
}

bool is_gone(pid_t pid) {
  const auto stat = read_stat(pid);
  return !stat || stat->state == 'Z';
}

TEST(Groups, SignalsAGroupWhoseKnownMembersHaveEnded) {
  Pipe pids;
  Pipe go;
  Forked leader = leader_with_child(pids, go);
  pid_t child = 0;
  ASSERT_EQ(::read(pids.read.get(), &child, sizeof child), static_cast<ssize_t>(sizeof child));
  MovedTree tree;
  tree.processes = {leader.ref()};
  tree.job_pgid = leader.pid();
  Groups groups(tree);
  const pid_t pgid = leader.pid();
  leader.end();
  groups.signal(pgid, SIGKILL);
  EXPECT_TRUE(eventually([&] { return is_gone(child); }));
}

TEST(Groups, LeavesAGroupAloneThatNobodyVouchesFor) {
  Pipe pids;
  Pipe go;
  const Forked stranger = leader_with_child(pids, go);
  pid_t child = 0;
  ASSERT_EQ(::read(pids.read.get(), &child, sizeof child), static_cast<ssize_t>(sizeof child));
  MovedTree tree;  // the process that was moved had the same number, but started at another time
  tree.processes = {{stranger.pid(), stranger.ref().start_time - 1}};
  tree.job_pgid = stranger.pid();
  Groups groups(tree);
  groups.signal(stranger.pid(), SIGKILL);
  const auto stat = read_stat(child);
  EXPECT_TRUE(stat && stat->state != 'Z');
  const auto signals = read_signals(child);
  EXPECT_TRUE(signals && !ProcSignals::has(signals->pending, SIGKILL));
  (void)::kill(-stranger.pid(), SIGKILL);
}

}  // namespace
}  // namespace grab::relay::fixture
