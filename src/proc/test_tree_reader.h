// SPDX-License-Identifier: MIT
// For the tests of TreeReader: the reader of a tree of real processes, and helpers over snapshots.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "proc/test_tree.h"
#include "proc/tree_reader.h"

namespace grab::proc {

// What gtest shows of a process.
inline void PrintTo(const Process& process,
                    std::ostream* out) {  // NOLINT(readability-identifier-naming)
  const Stat& stat = process.stat;
  *out << stat.pid << " (" << stat.comm << ") " << stat.state << " ppid " << stat.ppid << " pgid "
       << stat.pgid << " sid " << stat.sid << " tty " << stat.tty << " tpgid " << stat.tpgid
       << " flags " << std::hex << stat.flags << " ignored " << process.status.ignored.bits
       << " pending " << process.status.pending.bits << " shared pending "
       << process.status.shared_pending.bits << std::dec << " threads " << stat.num_threads << " ["
       << ::testing::PrintToString(process.tids) << "] open "
       << ::testing::PrintToString(process.open_fds) << " moved";
  for (const Descriptor& moved : process.moved_fds)
    *out << ' ' << moved.fd << ':' << moved.description << (moved.close_on_exec ? "x" : "");
  *out << " table " << process.fd_table_of << " vdso " << process.vdso << " command "
       << process.command << (process.readable ? "" : " (unreadable)");
}

inline std::vector<pid_t> pids_of(const Snapshot& snapshot) {
  std::vector<pid_t> pids;
  for (const Process& process : snapshot.processes)
    pids.push_back(process.stat.pid);
  return pids;
}

inline std::vector<int> numbers_of(const Process& process) {
  std::vector<int> numbers;
  for (const Descriptor& descriptor : process.moved_fds)
    numbers.push_back(descriptor.fd);
  return numbers;
}

// The index of what descriptor `fd` refers to, -1 if it is not moved.
inline int description_of(const Process& process, int fd) {
  for (const Descriptor& descriptor : process.moved_fds) {
    if (descriptor.fd == fd)
      return descriptor.description;
  }
  return -1;
}

class TreeReaderTest : public ::testing::Test {
 protected:
  // The reader of the tree below `name`, and its first snapshot.
  Snapshot read(const std::string& name, TreeReader::Options options = {}) {
    Result<TreeReader> opened = TreeReader::open(tree.pid(name), options);
    if (!opened) {
      ADD_FAILURE() << opened.error().message();
      return {};
    }
    reader = std::make_unique<TreeReader>(std::move(*opened));
    return value_of(reader->read());
  }

  static Snapshot value_of(const Result<Snapshot>& snapshot) {
    if (!snapshot)
      ADD_FAILURE() << snapshot.error().message();
    return snapshot.value_or(Snapshot());
  }

  const Process& process(const Snapshot& snapshot, const std::string& name) {
    static const Process none;
    const Process* const found = snapshot.find(tree.pid(name));
    EXPECT_NE(found, nullptr) << name;
    return found == nullptr ? none : *found;
  }

  TestTree tree;
  std::unique_ptr<TreeReader> reader;
};

// A shell (the leader) with a pipeline of two jobs' members, an orphan of it, and descendants in
// other groups.
inline void start_pipeline(TestTree& tree) {
  tree.start([](const Actor& actor) {
    const pid_t first = actor.fork("first", [&actor] {
      ::setpgid(0, 0);
      actor.fork("below", [] { ::setpgid(0, 0); });
    });
    ::setpgid(first, first);
    actor.fork("second", [first] { ::setpgid(0, first); });
    const pid_t between = ::fork();
    if (between == 0) {
      ::setpgid(0, first);
      actor.fork("orphan");
      std::_Exit(0);
    }
    ::waitpid(between, nullptr, 0);
    actor.fork("other-job", [] { ::setpgid(0, 0); });
  });
  for (const char* name : {"first", "below", "second", "orphan", "other-job"})
    EXPECT_NE(tree.pid(name), 0) << name;
}

}  // namespace grab::proc
