// SPDX-License-Identifier: MIT
// The processes of a random real tree: each makes itself what its specification says, blocks, and
// notes what it sees of itself before and after in a page that it shares with the test. Runs after
// fork(2): system calls and shared memory only, nothing of gtest or rapidcheck.
#pragma once

#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>
#include <vector>

namespace grab::test {

enum class Group : unsigned { kInherit, kOwn, kSession, kCount };

/// Where a process is when it is moved.
enum class Block : unsigned {
  kRead,
  kPoll,
  kSelect,
  kNanosleep,
  kFutex,
  kSigsuspend,
  kPause,
  kSpin,
  kCount,
};

struct NodeSpec {
  unsigned parent = 0;  ///< modulo the nodes before it
  Group group = Group::kInherit;
  Block block = Block::kRead;
  bool thread = false;          ///< has another thread, in a read of its own
  bool zombie = false;          ///< has a child that has ended
  bool stopped = false;         ///< stands in a group-stop
  bool opens_terminal = false;  ///< once more by path: O_RDWR|O_NONBLOCK, close-on-exec
  bool duplicates = false;      ///< descriptor 1 as 20, close-on-exec
  bool appends = false;         ///< has O_APPEND set on a description of its own
  bool masks = false;           ///< blocks and ignores a few signals
};

struct FdState {
  int fd_flags = -1;  ///< F_GETFD, -1 if it is not open
  int status_flags = -1;
  dev_t device = 0;
  friend bool operator==(const FdState&, const FdState&) = default;
};
constexpr int kHighestFd = 30;  // those from there on are the test's

struct Facts {
  pid_t ppid = 0, pgid = 0, sid = 0;
  std::uint64_t blocked = 0, ignored = 0, caught = 0;
  std::array<FdState, kHighestFd> fds;
  int tty_errno = 0;     ///< of opening /dev/tty, 0 if it could be opened
  dev_t tty_device = 0;  ///< that it leads to
};

struct Slot {
  std::atomic<int> ready, go, woken, checked;
  std::atomic<int> wrong, thread_wrong;  ///< errno of a call that was not to return
  pid_t pid, zombie;
  Facts before, after;
};

constexpr std::size_t kMaxNodes = 12;
struct Page {
  std::array<Slot, kMaxNodes> slots;
};

struct Stage {
  const std::vector<NodeSpec>* nodes;
  Page* page;
  std::array<std::array<int, 2>, kMaxNodes> pipes;         // what wakes the main thread
  std::array<std::array<int, 2>, kMaxNodes> thread_pipes;  // and the other
  std::string terminal;
};

inline void nothing(int) {}

inline Facts facts() {
  Facts seen;
  seen.ppid = getppid();
  seen.pgid = getpgid(0);
  seen.sid = getsid(0);
  sigset_t mask;
  pthread_sigmask(SIG_SETMASK, nullptr, &mask);
  for (int signo = 1; signo < 32; signo++) {
    const std::uint64_t bit = 1ULL << static_cast<unsigned>(signo);
    if (sigismember(&mask, signo) == 1)
      seen.blocked |= bit;
    struct sigaction action {};
    sigaction(signo, nullptr, &action);
    if (action.sa_handler == SIG_IGN)
      seen.ignored |= bit;
    else if (action.sa_handler != SIG_DFL)
      seen.caught |= bit;
  }
  for (int fd = 0; fd < kHighestFd; fd++) {
    FdState& state = seen.fds.at(static_cast<std::size_t>(fd));
    struct stat st {};
    if (fstat(fd, &st) != 0)
      continue;
    state = {fcntl(fd, F_GETFD), fcntl(fd, F_GETFL), st.st_rdev};
  }
  const int tty = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
  seen.tty_errno = tty < 0 ? errno : 0;
  unsigned device = 0;
  if (tty >= 0 && ioctl(tty, TIOCGDEV, &device) == 0)
    seen.tty_device = device;
  close(tty);
  return seen;
}

/// Blocks until the test says go; anything that a call returns before is noted.
inline void block(const Stage& stage, std::size_t index) {
  Slot& slot = stage.page->slots.at(index);
  const int fd = stage.pipes.at(index)[0];
  constexpr int kErrno = 4242;  // no call's, and no call that succeeds may change it
  errno = kErrno;
  const auto note = [&](bool as_expected, int number) {
    if (!as_expected && slot.wrong == 0)
      slot.wrong = number;
  };
  switch ((*stage.nodes)[index].block) {
    case Block::kRead: {
      char byte = 0;
      note(read(fd, &byte, 1) == 1 && errno == kErrno, errno);
      break;
    }
    case Block::kPoll: {
      pollfd ready{fd, POLLIN, 0};
      note(poll(&ready, 1, 60'000) == 1 && errno == kErrno, errno);
      break;
    }
    case Block::kSelect: {
      fd_set set;
      FD_ZERO(&set);
      FD_SET(fd, &set);
      note(select(fd + 1, &set, nullptr, nullptr, nullptr) == 1 && errno == kErrno, errno);
      break;
    }
    case Block::kNanosleep:
      while (slot.go == 0) {
        const timespec moment{0, 20'000'000};
        note(nanosleep(&moment, nullptr) == 0 && errno == kErrno, errno);
      }
      break;
    case Block::kFutex:
      while (slot.go == 0) {
        const long result = syscall(SYS_futex, &slot.go, FUTEX_WAIT, 0, nullptr, nullptr, 0);
        note((result == 0 && errno == kErrno) || slot.go != 0, errno);
      }
      break;
    case Block::kSigsuspend: {
      sigset_t mask, open_mask;
      sigemptyset(&mask);
      sigaddset(&mask, SIGUSR1);
      sigprocmask(SIG_BLOCK, &mask, &open_mask);
      while (slot.go == 0) {
        sigsuspend(&open_mask);
        note(slot.go != 0, errno);
      }
      sigprocmask(SIG_SETMASK, &open_mask, nullptr);
      break;
    }
    case Block::kPause:
      while (slot.go == 0) {
        pause();
        note(slot.go != 0, errno);
      }
      break;
    default:
      while (slot.go == 0) {
      }
  }
  note(slot.go != 0, -1);
}

struct ThreadStart {
  const Stage* stage;
  std::size_t index;
};

inline void* run_thread(void* argument) {
  const auto* const start = static_cast<ThreadStart*>(argument);
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, nullptr);
  char byte = 0;
  const bool fine = read(start->stage->thread_pipes.at(start->index)[0], &byte, 1) == 1;
  start->stage->page->slots.at(start->index).thread_wrong = fine ? -1 : errno;
  return nullptr;
}

inline void set_up(const Stage& stage, const NodeSpec& spec) {
  if (spec.group == Group::kOwn)
    setpgid(0, 0);
  if (spec.group == Group::kSession)
    setsid();
  struct sigaction action {};
  action.sa_handler = nothing;
  sigaction(SIGUSR1, &action, nullptr);
  if (spec.masks) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigaddset(&set, SIGTSTP);
    sigaddset(&set, SIGCONT);
    sigprocmask(SIG_BLOCK, &set, nullptr);
    action.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &action, nullptr);
    sigaction(SIGINT, &action, nullptr);
  }
  if (spec.opens_terminal)
    (void)open(stage.terminal.c_str(), O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  if (spec.appends)
    (void)open(stage.terminal.c_str(), O_WRONLY | O_APPEND | O_NOCTTY);
  if (spec.duplicates)
    (void)fcntl(1, F_DUPFD_CLOEXEC, 20);
}

[[noreturn]] inline void run_node(const Stage& stage, std::size_t index) {
  const NodeSpec& spec = (*stage.nodes)[index];
  Slot& slot = stage.page->slots.at(index);
  set_up(stage, spec);
  slot.pid = getpid();
  for (std::size_t other = index + 1; other < stage.nodes->size(); other++) {
    if ((*stage.nodes)[other].parent % other == index && fork() == 0)
      run_node(stage, other);
  }
  if (spec.zombie) {
    const pid_t born = fork();
    if (born == 0)
      _exit(0);
    slot.zombie = born;
  }
  ThreadStart start{&stage, index};
  pthread_t thread;
  if (spec.thread && pthread_create(&thread, nullptr, run_thread, &start) != 0)
    _exit(1);
  slot.before = facts();
  slot.ready = 1;
  block(stage, index);
  slot.woken = 1;
  slot.after = facts();
  char line[32];
  const int length = std::snprintf(line, sizeof line, "<node %zu>", index);
  if (write(1, line, static_cast<std::size_t>(length)) != length)
    slot.wrong = errno;
  if (spec.thread)
    pthread_join(thread, nullptr);
  slot.checked = 1;
  while (true)
    pause();
}

}  // namespace grab::test
