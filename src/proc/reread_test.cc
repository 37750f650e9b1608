// SPDX-License-Identifier: MIT
// TreeReader on trees that change between readings, and with little to read them by.
#include <fcntl.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>

#include "proc/descriptions.h"
#include "proc/details.h"
#include "proc/kernel.h"
#include "proc/membership.h"
#include "proc/old_terminal.h"
#include "proc/test_tree.h"
#include "proc/test_tree_reader.h"
#include "proc/tree_reader.h"

namespace grab::proc {
namespace {

using ::testing::SizeIs;

// The parent is this very process, whose helper threads come and go; its own runs the tests.
void forget_parents(Snapshot& snapshot) {
  snapshot.parent.reset();
  snapshot.parents_parent.reset();
}

// More than what is read by one thread.
TEST_F(TreeReaderTest, RereadsAStoppedTreeAsRead) {
  constexpr int kMany = 150;
  tree.start([](const Actor& actor) {
    ::dup2(::open("/dev/tty", O_RDWR | O_CLOEXEC), 10);
    for (int i = 0; i < kMany; ++i) {
      actor.fork("p" + std::to_string(i), [i] {
        if (i % 3 == 0)
          ::setpgid(0, 0);
        if (i % 4 == 0)
          ::dup2(::open(::ttyname(0), O_WRONLY | O_NOCTTY | O_CLOEXEC), 11);
        if (i % 10 == 0)
          std::thread(Actor::pause_for_good).detach();
      });
    }
    const pid_t pid = ::fork();
    if (pid == 0)
      std::_Exit(3);
    actor.report("zombie", pid);
  });
  for (int i = 0; i < kMany; ++i)
    ASSERT_NE(tree.pid("p" + std::to_string(i)), 0);
  ASSERT_TRUE(TestTree::wait_for_state(tree.pid("zombie"), "Z"));
  Snapshot running = read("leader");
  ASSERT_TRUE(tree.stop_all());
  Snapshot stopped = value_of(reader->read());
  Snapshot reread = value_of(reader->reread(stopped));
  Snapshot again = value_of(reader->reread(running));
  ASSERT_THAT(stopped.processes, SizeIs(kMany + 2));
  for (Snapshot* snapshot : {&stopped, &reread, &again})
    forget_parents(*snapshot);
  EXPECT_EQ(reread, stopped);
  EXPECT_EQ(again, stopped);
}

// What happens between a first reading and the stop must be seen by the second.
TEST_F(TreeReaderTest, RereadSeesWhatChangedMeanwhile) {
  std::array<int, 2> go{};
  ASSERT_EQ(::pipe2(go.data(), O_CLOEXEC), 0);
  const int wait_fd = ::fcntl(go[0], F_DUPFD, 210);
  const UniqueFd our_end(go[1]);
  const UniqueFd their_end(go[0]);
  const UniqueFd their_copy(wait_fd);
  using Change = std::function<void()>;
  const std::vector<std::pair<std::string, Change>> changes = {
      {"nothing", [] {}},
      {"swaps",
       [] {
         ::dup2(::open(::ttyname(0), O_RDWR | O_NOCTTY | O_CLOEXEC), 1);
         ::close(3);
       }},
      {"opens", [] { ::dup2(0, 50); }},
      {"closes", [] { ::close(2); }},
      {"replaces", [] { ::dup2(0, 60); }},  // 60 was /dev/null: as many descriptors as before
      {"group", [] { ::setpgid(0, 0); }},
      {"session", [] { ::setsid(); }},
      {"mask", [] { ::signal(SIGUSR1, SIG_IGN); }},
      {"thread", [] { std::thread(Actor::pause_for_good).detach(); }},
  };
  tree.start([&changes, wait_fd](const Actor& actor) {
    ::dup2(::open("/dev/null", O_RDWR | O_CLOEXEC), 60);
    ::close_range(3, 59, 0);
    const auto wait_for_end = [wait_fd] {
      char byte = 0;
      if (::read(wait_fd, &byte, 1) != 1)
        std::_Exit(1);
    };
    for (const auto& [name, change] : changes) {
      actor.fork(name + "-before", [&actor, &wait_for_end, name = name, change = change] {
        actor.report(name + "-before");
        wait_for_end();
        change();
        actor.report(name + "-after");
        Actor::pause_for_good();
      });
    }
    actor.fork("exec-before", [&actor, &wait_for_end] {
      actor.report("exec-before");
      wait_for_end();
      ::execl("/bin/cat", "cat", nullptr);
    });
    ::close(wait_fd);
  });
  for (const auto& [name, change] : changes)
    ASSERT_NE(tree.pid(name + "-before"), 0);
  const pid_t exec = tree.pid("exec-before");
  ASSERT_NE(exec, 0);
  const Snapshot before = read("leader");
  ASSERT_EQ(::write(our_end.get(), std::string(64, 'x').data(), 64), 64);
  for (const auto& [name, change] : changes)
    ASSERT_NE(tree.pid(name + "-after"), 0) << name;
  const auto deadline = std::chrono::steady_clock::now() + kTestDeadline;
  std::string text;
  while (text.find("cat") != 0 && std::chrono::steady_clock::now() < deadline)
    (void)read_whole_at(AT_FDCWD, ("/proc/" + std::to_string(exec) + "/cmdline").c_str(), text);
  ASSERT_TRUE(tree.stop_all());

  Snapshot reread = value_of(reader->reread(before));
  Snapshot fresh = read("leader");
  for (Snapshot* snapshot : {&reread, &fresh}) {
    for (Process& process : snapshot->processes)
      process.stat.state = '?';  // a reread keeps what it was before the stop
  }
  ASSERT_EQ(reread.processes.size(), fresh.processes.size());
  for (std::size_t i = 0; i < fresh.processes.size(); ++i)
    EXPECT_EQ(reread.processes[i], fresh.processes[i]) << fresh.processes[i].stat.pid;
  EXPECT_EQ(reread.descriptions, fresh.descriptions);
  EXPECT_EQ(process(fresh, "exec-before").command, "cat");
}

TEST_F(TreeReaderTest, ForgetMakesRereadReadAll) {
  tree.start([](const Actor&) {});
  const Snapshot before = read("leader");
  const Result<int> memory = reader->mem_fd(tree.pid("leader"));
  ASSERT_TRUE(memory) << memory.error().message();
  std::array<char, 4> magic{};
  EXPECT_EQ(
      ::pread(*memory, magic.data(), magic.size(), static_cast<off_t>(before.processes.at(0).vdso)),
      4);
  EXPECT_EQ(std::string(magic.data(), magic.size()),
            "\x7f"
            "ELF");
  EXPECT_EQ(reader->mem_fd(tree.pid("leader")).value_or(-1), *memory);
  ASSERT_TRUE(tree.stop_all());
  reader->forget(tree.pid("leader"));
  Snapshot reread = value_of(reader->reread(before));
  Snapshot read_again = value_of(reader->read());
  for (Snapshot* snapshot : {&reread, &read_again})
    forget_parents(*snapshot);
  EXPECT_EQ(reread, read_again);
  EXPECT_FALSE(reader->mem_fd(::getpid()));
}

TEST(TreeReader, RefusesWhatIsNotThere) {
  const pid_t pid = ::fork();
  if (pid == 0)
    std::_Exit(0);
  ASSERT_EQ(::waitpid(pid, nullptr, 0), pid);
  for (const pid_t gone : {pid, 0, -1, INT32_MAX}) {
    const Result<TreeReader> reader = TreeReader::open(gone, {});
    ASSERT_FALSE(reader) << gone;
    EXPECT_EQ(reader.error().kind, ErrorKind::kGone) << gone;
  }
}

TEST_F(TreeReaderTest, SaysThatTheNamedOneHasGone) {
  start_pipeline(tree);
  const Snapshot before = read("orphan");
  ASSERT_EQ(::kill(tree.pid("orphan"), SIGKILL), 0);
  ASSERT_EQ(::waitpid(tree.pid("orphan"), nullptr, 0), tree.pid("orphan"));
  const Result<Snapshot> reread = reader->reread(before);
  ASSERT_FALSE(reread);
  EXPECT_EQ(reread.error().kind, ErrorKind::kGone);
  EXPECT_EQ(reader->scan().error().kind, ErrorKind::kGone);
}

std::vector<pid_t> members_of(pid_t named, std::size_t nofile, bool children_files) {
  FileBudget budget(nofile);
  Membership members(named, budget, {}, children_files);
  std::vector<pid_t> pids;
  for (int i = 0; i < 2; ++i) {  // the second time with what the first left open
    pids.clear();
    EXPECT_TRUE(members.update());
    for (const Node* node : members.ordered())
      pids.push_back(node->pid);
  }
  return pids;
}

TEST_F(TreeReaderTest, FindsTheSameMembersWithoutChildrenFiles) {
  start_pipeline(tree);
  constexpr std::size_t kPlenty = 1000;
  for (const char* named : {"leader", "first", "below"})
    EXPECT_EQ(members_of(tree.pid(named), kPlenty, true),
              members_of(tree.pid(named), kPlenty, false));
}

TEST_F(TreeReaderTest, ReadsTheSameWithoutRoomForFiles) {
  start_pipeline(tree);
  constexpr std::size_t kPlenty = 1000;
  EXPECT_EQ(members_of(tree.pid("first"), kPlenty, true), members_of(tree.pid("first"), 0, true));
  ASSERT_TRUE(tree.stop_all());
  const auto read_with = [this](std::size_t nofile) {
    FileBudget budget(nofile);
    Membership members(tree.pid("first"), budget);
    EXPECT_TRUE(members.update());
    OldTerminal terminal;
    Descriptions descriptions;
    OldTerminal left;
    DetailsReader details(terminal, left, descriptions);
    Node& named = *members.find(tree.pid("first"));
    Stat stat;
    stat.tty = tree.device();
    EXPECT_TRUE(terminal.identify(named.files, stat, false));
    std::vector<Process> processes;
    for (Node* node : members.ordered()) {
      EXPECT_TRUE(details.read(*node));
      processes.push_back(node->details->process);
    }
    return processes;
  };
  const std::vector<Process> with = read_with(kPlenty);
  const std::vector<Process> without = read_with(0);
  ASSERT_EQ(with.size(), without.size());
  for (std::size_t i = 0; i < with.size(); ++i)
    EXPECT_EQ(with[i], without[i]);
}

TEST(TerminalPath, KnowsTheUsualTerminals) {
  EXPECT_EQ(terminal_path(makedev(136, 3)), "/dev/pts/3");
  EXPECT_EQ(terminal_path(makedev(136, 300)), "/dev/pts/300");
  EXPECT_EQ(terminal_path(makedev(4, 1)), "/dev/tty1");
  EXPECT_EQ(terminal_path(makedev(4, 64)), "/dev/ttyS0");
  EXPECT_EQ(terminal_path(makedev(5, 1)), "/dev/console");
  EXPECT_EQ(terminal_path(makedev(204, 64)), "");
}

}  // namespace
}  // namespace grab::proc
