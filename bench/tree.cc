// SPDX-License-Identifier: MIT
#include "tree.h"

#include <pty.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utmp.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <iterator>
#include <string>
#include <utility>

namespace grab::bench {
namespace {

constexpr int kFanOut = 10;  // as many children as a busy make has
// One reading of the clock in this many loops of a process that spins is followed by fstat(2): rare
// enough to leave the clock readings dense, 2 us apart at most.
constexpr std::uint64_t kLoopsALook = 16;
constexpr Nanoseconds kStartDeadline = 30'000'000'000;  // a thousand forks take 0.3 s

void raise_to(std::atomic<Nanoseconds>& longest, Nanoseconds value) {
  if (value > longest.load(std::memory_order_relaxed))
    longest.store(value, std::memory_order_relaxed);
}

void look_at_terminal(Slot& slot, dev_t old_terminal) {
  struct stat facts {};
  if (slot.moved_at == 0 && ::fstat(0, &facts) == 0 && facts.st_rdev != old_terminal)
    slot.moved_at = clock_now();
}

[[noreturn]] void spin(Board& board, Slot& slot, dev_t old_terminal) {
  Nanoseconds last = clock_now();
  for (std::uint64_t loops = 0;; ++loops) {
    const Nanoseconds now = clock_now();
    const auto phase = static_cast<std::size_t>(board.phase.load(std::memory_order_relaxed));
    raise_to(slot.longest_gap[phase], now - last);
    raise_to(slot.longest_delay[phase], now - last);
    last = now;
    slot.readings.store(slot.readings.load(std::memory_order_relaxed) + 1,
                        std::memory_order_relaxed);
    if (loops % kLoopsALook == 0)
      look_at_terminal(slot, old_terminal);
  }
}

[[noreturn]] void sleep_and_read(Board& board, Slot& slot, dev_t old_terminal, Nanoseconds sleep,
                                 Nanoseconds first_wake) {
  Nanoseconds last = clock_now();
  Nanoseconds wake = first_wake;
  for (;;) {
    const timespec until{.tv_sec = wake / 1'000'000'000, .tv_nsec = wake % 1'000'000'000};
    if (::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr) != 0)
      ++slot.errors;
    const Nanoseconds now = clock_now();
    const auto phase = static_cast<std::size_t>(board.phase.load(std::memory_order_relaxed));
    raise_to(slot.longest_gap[phase], now - last);
    raise_to(slot.longest_delay[phase], now - wake);
    last = now;
    ++slot.readings;
    look_at_terminal(slot, old_terminal);
    wake = now + sleep;
  }
}

// Process `index` of the tree; its children are those of a heap with kFanOut branches.
[[noreturn]] void be_process(Board& board, int index, int count, dev_t old_terminal) {
  // A benchmark that dies takes its tree with it, generation by generation.
  (void)::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  (void)::prctl(PR_SET_TIMERSLACK, 1UL, 0, 0, 0);
  Slot& slot = board.slots[static_cast<std::size_t>(index)];
  slot.pid = ::getpid();
  const int first = index * kFanOut + 1;
  for (int child = first; child < std::min(first + kFanOut, count); ++child) {
    const pid_t pid = ::fork();
    if (pid == 0)
      be_process(board, child, count, old_terminal);
    if (pid < 0)
      ++slot.errors;
  }
  if (index == 0)
    spin(board, slot, old_terminal);
  // The sleeps begin spread over one period, so that some process wakes at any moment.
  const Nanoseconds sleep = sleep_of(count);
  sleep_and_read(board, slot, old_terminal, sleep, clock_now() + sleep * index / count);
}

// What an interactive shell looks like from outside, and what it does when its job ends.
[[noreturn]] void be_shell(Board& board, int count, int pts) {
  (void)::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  for (const int signal : {SIGTTOU, SIGTTIN, SIGTSTP, SIGTERM, SIGINT, SIGQUIT})
    (void)::signal(signal, SIG_IGN);
  struct stat facts {};
  if (::login_tty(pts) != 0 || ::fstat(0, &facts) != 0)
    ::_exit(1);
  const pid_t root = ::fork();
  if (root == 0) {
    (void)::setpgid(0, 0);
    (void)::tcsetpgrp(0, ::getpgrp());  // SIGTTOU is still ignored here
    for (const int signal : {SIGTTOU, SIGTTIN, SIGTSTP, SIGTERM, SIGINT, SIGQUIT})
      (void)::signal(signal, SIG_DFL);
    be_process(board, 0, count, facts.st_rdev);
  }
  (void)::waitpid(-1, nullptr, WUNTRACED);
  (void)::tcsetpgrp(0, ::getpgrp());
  for (;;)
    (void)::pause();
}

}  // namespace

Nanoseconds sleep_of(int count) {
  return count == 1 ? 0 : count * Nanoseconds{20'000};
}

Result<Tree> Tree::start(int count) {
  void* memory =
      ::mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED)
    return fail_errno(errno, "mmap of the board");
  Tree tree(new (memory) Board, count);
  int ptmx = -1;
  int pts = -1;
  if (::openpty(&ptmx, &pts, nullptr, nullptr, nullptr) != 0)
    return fail_errno(errno, "openpty");
  tree.ptmx_.reset(ptmx);
  const UniqueFd keep_pts(pts);
  tree.shell_ = ::fork();
  if (tree.shell_ < 0)
    return fail_errno(errno, "fork of the shell");
  if (tree.shell_ == 0) {
    (void)::close(ptmx);
    be_shell(*tree.board_, count, pts);
  }
  GRAB_CHECK(tree.wait_readings(5));
  return tree;
}

Tree::Tree(Tree&& other) noexcept
    : board_(std::exchange(other.board_, nullptr)),
      count_(other.count_),
      shell_(std::exchange(other.shell_, 0)),
      ptmx_(std::move(other.ptmx_)) {}

Tree::~Tree() {
  if (board_ == nullptr)
    return;
  kill_tree();
  if (shell_ > 0)
    (void)::kill(shell_, SIGKILL);
  (void)::munmap(board_, sizeof(Board));
}

std::vector<pid_t> Tree::pids() const {
  std::vector<pid_t> all;
  for (int i = 0; i < count_; ++i)
    if (const pid_t pid = board_->slots[static_cast<std::size_t>(i)].pid; pid > 0)
      all.push_back(pid);
  return all;
}

int Tree::moved() const {
  const auto* slots = board_->slots.begin();
  return static_cast<int>(
      std::count_if(slots, slots + count_, [](const Slot& s) { return s.moved_at != 0; }));
}

Status Tree::wait_readings(std::uint64_t readings) const {
  const Nanoseconds deadline = clock_now() + kStartDeadline;
  const auto* slots = board_->slots.begin();
  std::vector<std::uint64_t> goals;
  std::transform(slots, slots + count_, std::back_inserter(goals),
                 [&](const Slot& slot) { return slot.readings + readings; });
  for (int i = 0; i < count_; ++i)
    while (slots[i].readings < goals[static_cast<std::size_t>(i)]) {
      if (clock_now() > deadline)
        return fail(ErrorKind::kTimeout, "process " + std::to_string(i) + " of the tree (pid " +
                                             std::to_string(slots[i].pid) + ") does not run");
      (void)::usleep(1000);
    }
  return {};
}

// A process killed here stays a zombie until its parent has gone too, so no pid can be another's.
void Tree::kill_tree() {
  std::vector<pid_t> all = pids();
  std::reverse(all.begin(), all.end());
  for (const pid_t pid : all)
    (void)::kill(pid, SIGKILL);
}

}  // namespace grab::bench
