// SPDX-License-Identifier: MIT
// The processes of a soaked tree. Each does one thing for ever, checks every result of it, and
// counts in a page that it shares with the soak: a counter that stands still is a process that
// hangs, an errno in `wrong` one that got what it would not have got without grab.
#pragma once

#include <sys/types.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace grab::soak {

enum class Kind : unsigned {
  kTerminal,  ///< root: polls its terminal and reads lines
  kPoll,
  kSelect,
  kSleep,
  kEpoll,     ///< of a terminal and a pipe
  kThreads,   ///< three, one of them by futex
  kForks,     ///< fork, _exit, waitpid
  kSpawns,    ///< posix_spawn, which is a vfork and an execve
  kExecs,     ///< calls execve of itself
  kWriter,    ///< numbered lines to the terminal
  kPipeline,  ///< numbers through a pipe to a child, which checks them
  kTimer,     ///< a handler for SIGALRM every few ms, in sigsuspend
  kSpin,
  kStopped,  ///< in a group of its own, in a group-stop
  kCount,
};
[[nodiscard]] const char* name_of(Kind kind);

enum class Group : unsigned { kInherit, kOwn, kSession };

struct Node {
  Kind kind;
  Group group;
  unsigned parent;  ///< index of a node before it
  bool masks;       ///< blocks SIGUSR2 and SIGCONT, ignores SIGPIPE
};

struct Slot {
  std::atomic<pid_t> pid;
  std::atomic<std::uint64_t> beats;
  std::atomic<std::uint64_t> thread_beats;  ///< of another thread, or of a child
  std::atomic<int> wrong;                   ///< errno of the first call that gave what it must not
  std::atomic<int> where;                   ///< and which call: a line of actor.cc
  std::atomic<int> epoll_interrupted;       ///< EINTR of epoll_wait, as after any stop: signal(7)
  std::atomic<unsigned> lines;              ///< read from the terminal
  std::atomic<unsigned> written;            ///< number of the last line written
  std::atomic<pid_t> hung_up_by;            ///< who has sent the SIGHUP that ends it; 1: the kernel
};

constexpr std::size_t kMaxNodes = 16;
constexpr int kPageFd = 100;

struct Page {
  std::size_t nodes = 0;
  std::array<Node, kMaxNodes> node{};
  std::array<Slot, kMaxNodes> slot{};
};

/// What the root, and a process that has called execve of itself, runs: the page is kPageFd.
[[noreturn]] void run_actor(std::size_t index, bool again);

}  // namespace grab::soak
