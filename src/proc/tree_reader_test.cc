// SPDX-License-Identifier: MIT
#include "proc/tree_reader.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>

#include "proc/kernel.h"
#include "proc/old_terminal.h"
#include "proc/test_tree.h"
#include "proc/test_tree_reader.h"

namespace grab::proc {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

TEST(Process, ThatHasEndedSinceItsThreadsWereListedIsAZombie) {
  Process process;
  process.stat.pid = 4711;
  process.stat.state = 'Z';
  process.tids = {4711};
  EXPECT_TRUE(process.is_zombie());
  process.tids = {4711, 4712};  // the main thread alone may have ended
  EXPECT_FALSE(process.is_zombie());
}

TEST_F(TreeReaderTest, ReadsOneProcessOnItsTerminal) {
  tree.start([](const Actor&) {});
  const pid_t leader = tree.pid("leader");
  ASSERT_TRUE(TestTree::wait_for_state(leader, "S"));
  const Snapshot snapshot = read("leader");
  EXPECT_EQ(snapshot.named, leader);
  EXPECT_THAT(pids_of(snapshot), ElementsAre(leader));
  EXPECT_EQ(snapshot.old_terminal, (Terminal{tree.device(), tree.path(), leader, leader}));
  const Process& process = snapshot.processes.at(0);
  EXPECT_EQ(process.stat.sid, leader);
  EXPECT_EQ(process.stat.tty, tree.device());
  EXPECT_EQ(process.stat.state, 'S');
  EXPECT_THAT(process.tids, ElementsAre(leader));
  EXPECT_THAT(process.open_fds, ElementsAre(0, 1, 2, 200));
  EXPECT_THAT(numbers_of(process), ElementsAre(0, 1, 2));
  ASSERT_THAT(snapshot.descriptions, SizeIs(1));
  EXPECT_EQ(snapshot.descriptions[0].flags & (O_ACCMODE | O_APPEND | O_NONBLOCK), O_RDWR);
  EXPECT_EQ(process.fd_table_of, leader);
  EXPECT_EQ(process.elf_class, static_cast<int>(8 * sizeof(void*)));
  EXPECT_EQ(process.status.uid.real, ::getuid());
  EXPECT_TRUE(process.readable);
  EXPECT_NE(process.vdso, 0U);
  EXPECT_NE(process.ns.pid, 0U);
  EXPECT_EQ(process.ns, snapshot.self.ns);
  EXPECT_EQ(process.command, snapshot.parent.value_or(Process()).command);  // forked, not exec'd
  EXPECT_NE(process.command, "");
}

TEST_F(TreeReaderTest, KnowsItsSurroundings) {
  tree.start([](const Actor&) {});
  const Snapshot snapshot = read("leader");
  ASSERT_TRUE(snapshot.parent);
  EXPECT_EQ(snapshot.parent->stat.pid, ::getpid());
  EXPECT_THAT(snapshot.parent->moved_fds, IsEmpty());
  EXPECT_THAT(snapshot.parent->tids, Contains(::getpid()));
  EXPECT_THAT(snapshot.old_ptmx_keepers, ElementsAre(::getpid()));
  ASSERT_THAT(snapshot.self.lineage, SizeIs(::testing::Ge(2)));
  EXPECT_EQ(snapshot.self.lineage.at(0), ::getpid());
  EXPECT_EQ(snapshot.self.lineage.at(1), ::getppid());
  EXPECT_EQ(snapshot.self.euid, ::geteuid());
  EXPECT_THAT(snapshot.outsiders, IsEmpty());
}

TEST_F(TreeReaderTest, TellsDescriptionsApart) {
  tree.start(
      [](const Actor& actor) {
        ::dup2(0, 10);
        const char* const path = ::ttyname(0);
        ::dup2(::open(path, O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC), 20);
        ::dup2(::open("/dev/tty", O_RDONLY | O_CLOEXEC), 21);
        ::dup3(::open(path, O_RDWR | O_NOCTTY | O_CLOEXEC), 22, O_CLOEXEC);
        ::dup2(::open(path, O_PATH | O_CLOEXEC), 23);
        ::dup2(::open("/dev/null", O_RDWR | O_CLOEXEC), 24);
        ::close_range(3, 9, 0);
        actor.fork("heir", [] { ::fcntl(20, F_SETFD, FD_CLOEXEC); });
      },
      /*keep_ptmx=*/true);
  ASSERT_NE(tree.pid("heir"), 0);
  const Snapshot snapshot = read("leader");
  const Process& leader = process(snapshot, "leader");
  const Process& heir = process(snapshot, "heir");
  EXPECT_THAT(leader.open_fds,
              ElementsAre(0, 1, 2, 10, 20, 21, 22, 23, 24, TestTree::kKeptPtmx, 200));
  // Not the O_PATH descriptor (23), /dev/null (24) or the ptmx (100).
  EXPECT_THAT(numbers_of(leader), ElementsAre(0, 1, 2, 10, 20, 21, 22));
  EXPECT_EQ(description_of(leader, 10), description_of(leader, 0));
  ASSERT_THAT(snapshot.descriptions, SizeIs(4));
  const auto flags = [&snapshot](int fd_description) {
    return snapshot.descriptions.at(static_cast<std::size_t>(fd_description)).flags;
  };
  EXPECT_EQ(flags(description_of(leader, 20)) & (O_ACCMODE | O_APPEND | O_NONBLOCK),
            O_WRONLY | O_APPEND | O_NONBLOCK);
  EXPECT_EQ(flags(description_of(leader, 21)) & (O_ACCMODE | O_APPEND | O_NONBLOCK), O_RDONLY);
  const auto cloexec = [](const Process& process, std::size_t i) {
    return process.moved_fds.at(i).close_on_exec;
  };
  EXPECT_FALSE(cloexec(leader, 4));
  EXPECT_TRUE(cloexec(leader, 6));
  EXPECT_TRUE(cloexec(heir, 4));  // close-on-exec is the descriptor's, the description is shared
  for (const int fd : {0, 1, 2, 10, 20, 21, 22})
    EXPECT_EQ(description_of(heir, fd), description_of(leader, fd)) << fd;
  EXPECT_NE(heir.fd_table_of, leader.fd_table_of);
}

TEST_F(TreeReaderTest, KeepsCopiesOfDescriptions) {
  tree.start(
      [](const Actor&) { ::dup2(::open(::ttyname(0), O_RDONLY | O_NOCTTY | O_CLOEXEC), 10); });
  const Snapshot snapshot = read("leader");
  ASSERT_THAT(snapshot.descriptions, SizeIs(2));
  const pid_t leader = tree.pid("leader");
  for (const int fd : {0, 10}) {
    const int copy = reader->description_fd(description_of(snapshot.processes.at(0), fd));
    EXPECT_EQ(compare_descriptions(::getpid(), copy, leader, fd), Order::kSame) << fd;
  }
  EXPECT_EQ(reader->description_fd(2), -1);
  EXPECT_EQ(reader->description_fd(-1), -1);
  EXPECT_EQ(terminal_of(reader->old_terminal_fd()), tree.device());
}

TEST_F(TreeReaderTest, ReadsThreadsMainThreadFirst) {
  tree.start([](const Actor& actor) {
    actor.fork("threads", [] {
      std::thread(Actor::pause_for_good).detach();
      std::thread(Actor::pause_for_good).detach();
    });
  });
  const pid_t pid = tree.pid("threads");
  const Snapshot snapshot = read("leader");
  const Process& threads = process(snapshot, "threads");
  ASSERT_THAT(threads.tids, SizeIs(3));
  EXPECT_EQ(threads.tids.at(0), pid);
  EXPECT_EQ(threads.stat.num_threads, 3);
  const Result<std::vector<TreeReader::Member>> members = reader->scan();
  ASSERT_TRUE(members);
  EXPECT_EQ(members->at(1).tids, threads.tids);
}

TEST_F(TreeReaderTest, FindsChildrenOfEveryThread) {
  tree.start([](const Actor& actor) {
    std::thread([&actor] {
      actor.fork("of-thread");
      Actor::pause_for_good();
    }).detach();
  });
  EXPECT_NE(tree.pid("of-thread"), 0);
  EXPECT_THAT(pids_of(read("leader")), ElementsAre(tree.pid("leader"), tree.pid("of-thread")));
}

TEST_F(TreeReaderTest, TakesAnotherThreadWhereTheMainOneHasEnded) {
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
  const Snapshot snapshot = read("leader");
  const Process& headless = process(snapshot, "headless");
  EXPECT_FALSE(headless.is_zombie());
  EXPECT_THAT(headless.tids, SizeIs(1));
  EXPECT_THAT(headless.tids, Not(Contains(pid)));
  EXPECT_THAT(headless.open_fds, ElementsAre(0, 1, 2, 200));
  int err = 0;
  if (open_pidfd(headless.tids.at(0), true, &err).valid())  // Linux >= 6.9
    EXPECT_THAT(numbers_of(headless), ElementsAre(0, 1, 2));
  else
    EXPECT_FALSE(headless.readable);
}

TEST_F(TreeReaderTest, ShowsZombiesWithTheirStatus) {
  tree.start([](const Actor& actor) {
    const pid_t pid = ::fork();
    if (pid == 0)
      std::_Exit(7);
    actor.report("zombie", pid);
  });
  const pid_t zombie = tree.pid("zombie");
  ASSERT_TRUE(TestTree::wait_for_state(zombie, "Z"));
  const Snapshot snapshot = read("leader");
  const Process& process_of_it = process(snapshot, "zombie");
  EXPECT_TRUE(process_of_it.is_zombie());
  EXPECT_EQ(WEXITSTATUS(process_of_it.stat.exit_code), 7);
  EXPECT_THAT(process_of_it.tids, IsEmpty());
  EXPECT_THAT(process_of_it.moved_fds, IsEmpty());
  const Result<std::vector<TreeReader::Member>> members = reader->scan();
  ASSERT_TRUE(members);
  EXPECT_TRUE(members->at(1).zombie);
  EXPECT_THAT(members->at(1).tids, IsEmpty());
}

TEST_F(TreeReaderTest, TakesThePipelineOfAnyOfItsProcesses) {
  start_pipeline(tree);
  for (const char* named : {"first", "second", "orphan"}) {
    const Snapshot snapshot = read(named);
    EXPECT_THAT(pids_of(snapshot), UnorderedElementsAre(tree.pid("first"), tree.pid("below"),
                                                        tree.pid("second"), tree.pid("orphan")))
        << named;
    EXPECT_EQ(snapshot.named, tree.pid(named));
    EXPECT_EQ(snapshot.processes.at(0).stat.pid, tree.pid(named));
    ASSERT_TRUE(snapshot.parent) << named;
    EXPECT_EQ(snapshot.parent->stat.pid, tree.pid("leader")) << named;
    EXPECT_THAT(snapshot.outsiders, IsEmpty()) << named;
  }
}

TEST_F(TreeReaderTest, PutsParentsBeforeChildren) {
  start_pipeline(tree);
  const std::vector<pid_t> pids = pids_of(read("leader"));
  EXPECT_THAT(pids, SizeIs(5));  // not the orphan: it is in none of the leader's groups
  EXPECT_EQ(pids.at(0), tree.pid("leader"));
  EXPECT_LT(std::find(pids.begin(), pids.end(), tree.pid("first")),
            std::find(pids.begin(), pids.end(), tree.pid("below")));
}

TEST_F(TreeReaderTest, LeavesTheGroupOfTheParentAloneAndNamesIt) {
  tree.start([](const Actor& actor) {
    actor.fork("named", [&actor] { actor.fork("below"); });
    actor.fork("sibling");
    const pid_t pid = ::fork();
    if (pid == 0)
      std::_Exit(0);
    actor.report("zombie-sibling", pid);
  });
  ASSERT_NE(tree.pid("below"), 0);
  ASSERT_NE(tree.pid("sibling"), 0);
  ASSERT_TRUE(TestTree::wait_for_state(tree.pid("zombie-sibling"), "Z"));
  const Snapshot snapshot = read("named");
  EXPECT_THAT(pids_of(snapshot), ElementsAre(tree.pid("named"), tree.pid("below")));
  const pid_t pgid = tree.pid("leader");
  EXPECT_THAT(snapshot.outsiders,
              UnorderedElementsAre(Outsider{pgid, pgid}, Outsider{tree.pid("sibling"), pgid},
                                   Outsider{tree.pid("zombie-sibling"), pgid}));
  EXPECT_THAT(snapshot.old_ptmx_keepers, IsEmpty());  // asked for session leaders only
}

TEST_F(TreeReaderTest, KeepsDescendantsWhoseParentHasEnded) {
  tree.start([](const Actor& actor) {
    actor.fork("parent", [&actor] {
      ::setpgid(0, 0);
      actor.fork("child", [] { ::setpgid(0, 0); });
    });
  });
  const pid_t parent = tree.pid("parent");
  const pid_t child = tree.pid("child");
  ASSERT_NE(child, 0);
  EXPECT_THAT(pids_of(read("leader")), SizeIs(3));
  ASSERT_EQ(::kill(parent, SIGKILL), 0);
  ASSERT_TRUE(TestTree::wait_for_state(parent, "Z"));
  Result<Snapshot> again = reader->read();
  ASSERT_TRUE(again);
  EXPECT_THAT(pids_of(*again), UnorderedElementsAre(tree.pid("leader"), parent, child));
  EXPECT_TRUE(again->find(parent)->is_zombie());
}

TEST_F(TreeReaderTest, TakesAServerWithoutWhatItHasStarted) {
  tree.start([](const Actor& actor) {
    actor.fork("client", [] {});
    actor.fork("server", [&actor] {
      ::setsid();
      actor.fork("pane", [] {});
    });
  });
  const pid_t server = tree.pid("server");
  ASSERT_NE(tree.pid("pane"), 0);
  ASSERT_THAT(pids_of(read("client")), ElementsAre(tree.pid("client")));
  ASSERT_TRUE(reader->add_server(server));
  const Snapshot snapshot = value_of(reader->read());
  ASSERT_THAT(pids_of(snapshot), UnorderedElementsAre(tree.pid("client"), server));
  EXPECT_FALSE(snapshot.find(tree.pid("client"))->serves);
  EXPECT_TRUE(snapshot.find(server)->serves);
  EXPECT_THAT(numbers_of(*snapshot.find(server)), ElementsAre(0, 1, 2));
  ASSERT_TRUE(tree.stop_all());
  EXPECT_TRUE(value_of(reader->reread(snapshot)).find(server)->serves);
}

TEST_F(TreeReaderTest, DropsMembersThatHaveBeenReaped) {
  // The orphan of the first is reaped by the test, the subreaper.
  start_pipeline(tree);
  EXPECT_THAT(pids_of(read("first")), Contains(tree.pid("orphan")));
  const pid_t orphan = tree.pid("orphan");
  ASSERT_EQ(::kill(orphan, SIGKILL), 0);
  ASSERT_EQ(::waitpid(orphan, nullptr, 0), orphan);
  const Result<Snapshot> again = reader->read();
  ASSERT_TRUE(again);
  EXPECT_THAT(pids_of(*again), Not(Contains(orphan)));
  EXPECT_THAT(pids_of(*again), SizeIs(3));
}

TEST_F(TreeReaderTest, FindsTheTerminalByDescriptorsWhereNoneControls) {
  tree.start([](const Actor& actor) {
    actor.fork("detached", [] {
      ::setsid();
      ::dup2(::open("/dev/null", O_RDWR | O_CLOEXEC), 0);
      ::close(3);
    });
  });
  const Snapshot snapshot = read("detached");
  EXPECT_EQ(snapshot.processes.at(0).stat.tty, 0U);
  EXPECT_EQ(snapshot.old_terminal, (Terminal{tree.device(), tree.path(), 0, 0}));
  EXPECT_THAT(numbers_of(snapshot.processes.at(0)), ElementsAre(1, 2));
}

TEST_F(TreeReaderTest, SaysWhereThereIsNoTerminal) {
  tree.start([](const Actor& actor) {
    actor.fork("daemon", [] {
      ::setsid();
      const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
      for (const int fd : {0, 1, 2})
        ::dup2(null, fd);
    });
  });
  const Snapshot snapshot = read("daemon");
  EXPECT_EQ(snapshot.old_terminal, Terminal());
  EXPECT_THAT(snapshot.processes.at(0).moved_fds, IsEmpty());
  EXPECT_EQ(reader->old_terminal_fd(), -1);
}

TEST_F(TreeReaderTest, MovesOnlyTheOldOfTwoTerminals) {
  const TestTree other;
  const std::string& other_path = other.path();
  tree.start([&other_path](const Actor&) {
    ::dup2(::open(other_path.c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC), 10);
  });
  const Snapshot snapshot = read("leader");
  EXPECT_THAT(snapshot.processes.at(0).open_fds, Contains(10));
  EXPECT_THAT(numbers_of(snapshot.processes.at(0)), ElementsAre(0, 1, 2));
}

TEST_F(TreeReaderTest, WithForceStdioTakesWhatTheNamedOnesStdioRefersTo) {
  tree.start([](const Actor& actor) {
    std::array<int, 2> own{};
    std::array<int, 2> between{};
    if (::pipe2(own.data(), O_CLOEXEC) != 0 || ::pipe2(between.data(), O_CLOEXEC) != 0)
      std::_Exit(1);
    const std::array<int, 2> ends = own;
    const std::array<int, 2> others = between;
    actor.fork("named", [&actor, ends, others] {
      ::setsid();
      ::dup2(ends[0], 0);
      ::dup2(ends[1], 1);
      ::close(ends[0]);
      ::close(ends[1]);
      actor.fork("heir", [others] { ::dup2(others[1], 2); });
    });
  });
  ASSERT_NE(tree.pid("heir"), 0);
  TreeReader::Options options;
  options.force_stdio = true;
  const Snapshot snapshot = read("named", options);
  const Process& named = process(snapshot, "named");
  const Process& heir = process(snapshot, "heir");
  EXPECT_THAT(numbers_of(named), ElementsAre(0, 1, 2));
  EXPECT_THAT(numbers_of(heir), ElementsAre(0, 1));  // its 2 is a pipe of its own
  EXPECT_EQ(description_of(heir, 0), description_of(named, 0));
  EXPECT_NE(description_of(named, 0), description_of(named, 1));
  EXPECT_EQ(snapshot.descriptions.size(), 3U);
  ASSERT_TRUE(tree.stop_all());
  const Snapshot stopped = value_of(reader->read());
  EXPECT_EQ(value_of(reader->reread(stopped)), stopped);
}

TEST_F(TreeReaderTest, ReadsEpollWatchesOfMovedDescriptionsOnly) {
  constexpr std::uint64_t kData = 0xdeadbeef00000007;
  tree.start([](const Actor&) {
    const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
    ::dup2(epoll, 30);
    std::array<int, 2> pipe_ends{};
    if (::pipe2(pipe_ends.data(), O_CLOEXEC) != 0)
      std::_Exit(1);
    const auto add = [](int fd, std::uint64_t data) {
      epoll_event event{};
      event.events = EPOLLIN | EPOLLET;
      event.data.u64 = data;
      ::epoll_ctl(30, EPOLL_CTL_ADD, fd, &event);
    };
    add(0, kData);
    add(pipe_ends[0], 1);
    // Number 40 is another description now, the one that is watched is 41.
    const int opened = ::open(::ttyname(0), O_RDWR | O_NOCTTY | O_CLOEXEC);
    ::dup2(opened, 40);
    ::close(opened);
    ::dup2(40, 41);
    add(40, 2);
    ::dup2(0, 40);
    // Number 50 is closed, and 51 is a pipe now.
    for (const int number : {50, 51}) {
      ::dup2(0, number);
      add(number, static_cast<std::uint64_t>(number));
    }
    ::close(50);
    ::dup3(pipe_ends[1], 51, O_CLOEXEC);
    ::close(epoll);
  });
  const Snapshot snapshot = read("leader");
  // Kernel: EPOLLERR and EPOLLHUP are added to what epoll_ctl(2) is given.
  const EpollWatch expected{30, 0, EPOLLIN | EPOLLET | EPOLLERR | EPOLLHUP, kData};
  const auto stale = [&](int number, int stands_for, bool in_use) {
    return StaleWatch{{30, number, expected.events, number == 40 ? 2U : std::uint64_t(number)},
                      stands_for,
                      in_use,
                      in_use,
                      false};
  };
  ASSERT_TRUE(tree.stop_all());
  for (const Snapshot& now : {snapshot, value_of(reader->reread(snapshot))}) {
    EXPECT_THAT(now.processes.at(0).epoll_watches, ElementsAre(expected));
    EXPECT_THAT(
        now.processes.at(0).stale_watches,
        UnorderedElementsAre(stale(40, 41, false), stale(50, 0, false), stale(51, 0, true)));
  }
}

TEST_F(TreeReaderTest, TellsWhoSharesATableOfDescriptors) {
  tree.start([](const Actor& actor) {
    const auto share = [&actor](const char* name, unsigned long extra) {
      const long pid =
          ::syscall(SYS_clone, CLONE_FILES | extra | SIGCHLD, nullptr, nullptr, nullptr, nullptr);
      if (pid == 0) {
        actor.report(name);
        Actor::pause_for_good();
      }
    };
    share("sharer", 0);
    actor.fork("copier", [&share] { share("sibling", CLONE_PARENT); });
  });
  ASSERT_NE(tree.pid("sibling"), 0);
  ASSERT_NE(tree.pid("sharer"), 0);
  const Snapshot snapshot = read("leader");
  EXPECT_EQ(process(snapshot, "leader").fd_table_of, tree.pid("leader"));
  EXPECT_EQ(process(snapshot, "sharer").fd_table_of, tree.pid("leader"));
  EXPECT_EQ(process(snapshot, "copier").fd_table_of, tree.pid("copier"));
  EXPECT_EQ(process(snapshot, "sibling").fd_table_of, tree.pid("copier"));
  ASSERT_TRUE(tree.stop_all());
  const Snapshot again = value_of(reader->reread(snapshot));
  for (const Process& process : again.processes)
    EXPECT_EQ(process.fd_table_of, snapshot.find(process.stat.pid)->fd_table_of);
}

}  // namespace
}  // namespace grab::proc
