// SPDX-License-Identifier: MIT
// How the relay finds out that its tree has ended, whom it tells, and when it forgets.
#include <gmock/gmock.h>

#include "relay/relay_fixture.h"

namespace grab::relay::fixture {
namespace {

// Root as the child of a parent that reaps it at once, or never.
Outcome end_of_root(bool reaped, const std::function<int()>& body) {
  TreeTerminal terminal;
  Pipe pids;
  Pipe go;
  const Forked parent = run({terminal.pts.get(), pids.write.get(), go.read.get()}, [&] {
    if (reaped)
      (void)::signal(SIGCHLD, SIG_IGN);
    const pid_t pid = ::fork();
    if (pid == 0) {
      use_terminal(terminal.pts.get(), true);
      (void)::close(terminal.pts.get());
      read_byte(go.read.get());
      return body();
    }
    (void)::close(terminal.pts.get());
    say({reinterpret_cast<const char*>(&pid), sizeof pid}, pids.write.get());
    for (;;)
      (void)::pause();
  });
  pid_t root = 0;
  EXPECT_EQ(::read(pids.read.get(), &root, sizeof root), static_cast<ssize_t>(sizeof root));
  const auto stat = read_stat(root);
  MovedTree tree;
  tree.name = "tree";
  tree.status_pid = tree.job_pgid = root;
  tree.processes = {{root, stat ? stat->start_time : 1}};
  terminal.pts.reset();
  UserTerminal user;
  user.show(std::move(terminal.ptmx), tree);
  say("g", go.write.get());
  Outcome outcome = user.wait_end();
  EXPECT_EQ(read_stat(root).has_value(), !reaped);
  return outcome;
}

TEST(Relay, TellsTheStatusOfARootThatIsNeverReaped) {
  const Outcome outcome = end_of_root(false, [] { return 3; });
  ASSERT_TRUE(outcome.has_status);
  EXPECT_EQ(outcome.status, 3 << 8);
}

TEST(Relay, TellsTheSignalThatKilledARootThatIsNeverReaped) {
  const Outcome outcome = end_of_root(false, [] { return ::kill(::getpid(), SIGKILL); });
  ASSERT_TRUE(outcome.has_status);
  EXPECT_EQ(outcome.status, SIGKILL);
}

TEST(Relay, TellsTheStatusOfARootThatIsReapedAtOnceWhereTheKernelCan) {
  const Outcome exited = end_of_root(true, [] { return 3; });
  const Outcome killed = end_of_root(true, [] { return ::kill(::getpid(), SIGKILL); });
  EXPECT_TRUE(exited.ok && killed.ok);
  if (!exited.has_status)
    GTEST_SKIP() << "this kernel keeps no exit status of a reaped process (Linux 6.15 does)";
  EXPECT_EQ(exited.status, 3 << 8);
  ASSERT_TRUE(killed.has_status);
  EXPECT_EQ(killed.status, SIGKILL);
}

TEST(Relay, GoesOnWhileABackgroundProcessKeepsTheTerminal) {
  TreeTerminal terminal;
  Pipe go;
  const Forked root = terminal.root(
      [&] {
        (void)::signal(SIGHUP, SIG_IGN);
        if (::fork() != 0)
          return 4;
        read_byte(go.read.get());
        say("still here\n");
        return 0;
      },
      {go.read.get()});
  UserTerminal user;
  const MovedTree tree = terminal.tree(root);
  user.show(std::move(terminal.ptmx), tree);
  ASSERT_TRUE(eventually([&] {
    const auto stat = read_stat(root.pid());
    return stat && stat->state == 'Z';
  }));
  say("g", go.write.get());
  user.expect("still here\r\n");
  const Outcome outcome = user.wait_end();
  ASSERT_TRUE(outcome.has_status);
  EXPECT_EQ(WEXITSTATUS(outcome.status), 4);
}

TEST(Relay, GoesOnWhileAProcessThatWasMovedHasTheTerminalClosedForATime) {
  TreeTerminal terminal;
  Pipe closed;
  Pipe go;
  const Forked root = terminal.root(
      [&] {
        for (const int fd : {0, 1, 2})
          (void)::close(fd);
        say("c", closed.write.get());
        read_byte(go.read.get());
        say("reopened\n", ::open("/dev/tty", O_RDWR));
        return 0;
      },
      {closed.write.get(), go.read.get()});
  EXPECT_EQ(read_byte(closed.read.get()), 'c');
  UserTerminal user;
  const MovedTree tree = terminal.tree(root);
  user.show(std::move(terminal.ptmx), tree);
  say("g", go.write.get());
  user.expect("reopened\r\n");
  const Outcome outcome = user.wait_end();
  ASSERT_TRUE(outcome.has_status) << outcome.error.data();
  EXPECT_EQ(outcome.status, 0);
}

TEST(Relay, RemembersHowATreeEndedForAnHourThatNobodyAsks) {
  TreeTerminal terminal;
  const Forked root = terminal.root([] { return 3; });
  const Folder runtime;
  const MovedTree tree = terminal.tree(root);
  const std::string socket = std::string(runtime.c_str()) + "/grab/test";
  constexpr std::chrono::milliseconds kHour{300};
  const Clock::time_point begin = Clock::now();
  const Forked relay = run({terminal.ptmx.get()}, [&] {
    (void)::setsid();
    (void)::setenv("XDG_RUNTIME_DIR", runtime.c_str(), 1);
    const Pair link;
    RelaySetup setup;
    setup.ptmx = std::move(terminal.ptmx);
    setup.tree = tree;
    setup.info.name = "test";
    setup.owner = ::geteuid();
    setup.remembers = kHour;
    return serve(std::move(setup), UniqueFd(link.relay)) ? 0 : 1;
  });
  EXPECT_TRUE(eventually([&] { return ::access(socket.c_str(), F_OK) == 0; }));
  EXPECT_TRUE(eventually([&] {
    const auto stat = read_stat(relay.pid());
    return stat && stat->state == 'Z';
  }));
  EXPECT_GE(Clock::now() - begin, kHour);
  EXPECT_NE(::access(socket.c_str(), F_OK), 0) << "nothing is left of it";
  EXPECT_EQ(RelaySetup{}.remembers, std::chrono::hours(1));
}

}  // namespace
}  // namespace grab::relay::fixture
