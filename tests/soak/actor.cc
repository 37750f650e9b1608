// SPDX-License-Identifier: MIT
#include "soak/actor.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <string>

namespace grab::soak {
namespace {

constexpr int kTickMs = 10;
constexpr timespec kTick{0, 10'000'000};

/// One process, and the page that it counts in.
class Actor {
 public:
  Actor(Page& page, std::size_t index, bool again)
      : page_(page), index_(index), again_(again), node_(page.node.at(index)) {}

  [[noreturn]] void run() {
    if (!again_)
      set_up();
    expected_mask_ = mask();
    pid_ = getpid();
    ppid_ = getppid();
    sid_ = getsid(0);
    slot().pid = pid_;
    note_hang_up();
    if (!again_)
      start_children();
    for (;;)
      live();
  }

 private:
  Slot& slot() { return page_.slot.at(index_); }

  void check(bool as_expected, int line) {
    const int number = errno;
    int none = 0;
    if (!as_expected && slot().where.compare_exchange_strong(none, line))
      slot().wrong = number;
  }

  static std::uint64_t mask() {
    sigset_t set;
    sigemptyset(&set);
    pthread_sigmask(SIG_SETMASK, nullptr, &set);
    std::uint64_t bits = 0;
    for (int signo = 1; signo < 32; signo++)
      bits |= sigismember(&set, signo) == 1 ? 1ULL << static_cast<unsigned>(signo) : 0;
    return bits;
  }

  /// What every turn ends with: the process is who it was.
  void beat() {
    check(getpid() == pid_ && (index_ == 0 || getppid() == ppid_), __LINE__);  // shells may end
    check(mask() == expected_mask_, __LINE__);
    const pid_t sid = getsid(0);
    check(sid == sid_ || node_.group != Group::kSession, __LINE__);
    slot().beats++;
  }

  void set_up() {
    if (node_.group == Group::kOwn)
      (void)setpgid(0, 0);
    if (node_.group == Group::kSession)
      (void)setsid();
    if (!node_.masks)
      return;
    (void)signal(SIGPIPE, SIG_IGN);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigaddset(&set, SIGCONT);
    sigprocmask(SIG_BLOCK, &set, nullptr);
  }

  void start_children() {
    for (std::size_t other = index_ + 1; other < page_.nodes; other++) {
      if (page_.node.at(other).parent == index_ && fork() == 0)
        Actor(page_, other, false).run();
    }
  }

  /// Tells who hangs it up, and dies of it all the same.
  void note_hang_up() {
    static Slot* own = nullptr;
    own = &slot();
    struct sigaction action {};
    action.sa_flags = static_cast<int>(SA_SIGINFO | SA_RESETHAND);
    action.sa_sigaction = [](int signo, siginfo_t* info, void* /*context*/) {
      own->hung_up_by = info->si_code == SI_KERNEL ? 1 : info->si_pid;
      (void)raise(signo);
    };
    check(sigaction(SIGHUP, &action, nullptr) == 0, __LINE__);
  }

  void live() {
    switch (node_.kind) {
      case Kind::kTerminal:
        return terminal();
      case Kind::kPoll:
        return poll_pipe();
      case Kind::kSelect:
        return select_pipe();
      case Kind::kEpoll:
        return epoll();
      case Kind::kThreads:
        return threads();
      case Kind::kForks:
        return forks();
      case Kind::kSpawns:
        return spawns();
      case Kind::kExecs:
        return execs();
      case Kind::kWriter:
        return writer();
      case Kind::kPipeline:
        return pipeline();
      case Kind::kTimer:
        return timer();
      case Kind::kSpin:
        return spin();
      case Kind::kStopped:
        (void)raise(SIGSTOP);
        return sleep();
      default:
        return sleep();
    }
  }

  [[noreturn]] void sleep() {
    for (;;) {
      check(nanosleep(&kTick, nullptr) == 0, __LINE__);
      beat();
    }
  }

  [[noreturn]] void terminal() {
    for (;;) {
      pollfd ready{STDIN_FILENO, POLLIN, 0};
      const int count = ::poll(&ready, 1, kTickMs);
      check(count == 0 || (count == 1 && ready.revents == POLLIN), __LINE__);
      char bytes[64];
      if (count == 1) {
        const ssize_t length = read(STDIN_FILENO, bytes, sizeof bytes);
        check(length > 0, __LINE__);
        slot().lines++;
      }
      beat();
    }
  }

  [[noreturn]] void poll_pipe() {
    int ends[2];
    check(pipe2(ends, O_CLOEXEC) == 0, __LINE__);
    for (;;) {
      pollfd ready{ends[0], POLLIN, 0};
      check(::poll(&ready, 1, kTickMs) == 0, __LINE__);
      beat();
    }
  }

  [[noreturn]] void select_pipe() {
    int ends[2];
    check(pipe2(ends, O_CLOEXEC) == 0, __LINE__);
    for (;;) {
      fd_set set;
      FD_ZERO(&set);
      FD_SET(ends[0], &set);
      timeval limit{0, kTickMs * 1000};
      check(select(ends[0] + 1, &set, nullptr, nullptr, &limit) == 0, __LINE__);
      beat();
    }
  }

  // Of the terminal it asks for what cannot come, so that root alone takes what is typed.
  [[noreturn]] void epoll() {
    int ends[2];
    check(pipe2(ends, O_CLOEXEC) == 0, __LINE__);
    const int epoll = epoll_create1(EPOLL_CLOEXEC);
    epoll_event event{EPOLLIN, {.u64 = 1}};
    check(epoll_ctl(epoll, EPOLL_CTL_ADD, ends[0], &event) == 0, __LINE__);
    event = {EPOLLPRI, {.u64 = 2}};
    check(epoll_ctl(epoll, EPOLL_CTL_ADD, STDOUT_FILENO, &event) == 0, __LINE__);
    for (;;) {
      const auto begin = std::chrono::steady_clock::now();
      const int count = epoll_wait(epoll, &event, 1, kTickMs);
      const auto took = std::chrono::steady_clock::now() - begin;
      if (count < 0 && errno == EINTR)
        slot().epoll_interrupted++;
      else
        check(count == 0 && took >= std::chrono::milliseconds(kTickMs), __LINE__);
      beat();
    }
  }

  static void* run_thread(void* argument) {
    auto* const actor = static_cast<Actor*>(argument);
    int word = 0;
    for (;;) {
      const long result = syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &kTick, nullptr, 0);
      actor->check(result == -1 && errno == ETIMEDOUT, __LINE__);
      actor->slot().thread_beats++;
    }
  }

  [[noreturn]] void threads() {
    pthread_t thread = 0;
    for (int i = 0; i < 2; i++)
      check(pthread_create(&thread, nullptr, run_thread, this) == 0, __LINE__);
    for (;;) {
      const std::uint64_t before = slot().thread_beats;
      for (int i = 0; i < 500 && slot().thread_beats == before; i++)
        check(nanosleep(&kTick, nullptr) == 0, __LINE__);
      errno = ETIMEDOUT;
      check(slot().thread_beats != before, __LINE__);
      beat();
    }
  }

  void wait_for(pid_t born, int line) {
    int status = -1;
    check(waitpid(born, &status, 0) == born, line);
    errno = 0;
    check(WIFEXITED(status) && WEXITSTATUS(status) == 7, line);
  }

  [[noreturn]] void forks() {
    for (;;) {
      const pid_t born = fork();
      if (born == 0)
        _exit(getpid() != pid_ ? 7 : 8);
      check(born > 0, __LINE__);
      wait_for(born, __LINE__);
      beat();
    }
  }

  [[noreturn]] void spawns() {
    char path[] = "/bin/sh";
    char option[] = "-c";
    char command[] = "exit 7";
    char* argv[] = {path, option, command, nullptr};
    for (;;) {
      pid_t born = 0;
      check((errno = posix_spawn(&born, path, nullptr, nullptr, argv, environ)) == 0, __LINE__);
      wait_for(born, __LINE__);
      beat();
    }
  }

  void execs() {
    beat();
    check(nanosleep(&kTick, nullptr) == 0, __LINE__);
    char path[] = "/proc/self/exe";
    char option[] = "--actor-again";
    char number[8];
    (void)std::snprintf(number, sizeof number, "%zu", index_);
    char* argv[] = {path, option, number, nullptr};
    (void)execv(path, argv);
    check(false, __LINE__);
    sleep();
  }

  [[noreturn]] void writer() {
    for (;;) {
      char line[64];
      const unsigned number = slot().written + 1;
      const int length = std::snprintf(line, sizeof line, "<%zu:%u>\n", index_, number);
      check(write(STDOUT_FILENO, line, static_cast<std::size_t>(length)) == length, __LINE__);
      slot().written = number;
      check(nanosleep(&kTick, nullptr) == 0, __LINE__);
      beat();
    }
  }

  [[noreturn]] void read_numbers(int fd) {
    for (std::uint64_t expected = 0;; expected++) {
      std::uint64_t number = 0;
      check(read(fd, &number, sizeof number) == sizeof number, __LINE__);
      errno = EILSEQ;
      check(number == expected, __LINE__);
      slot().thread_beats++;
    }
  }

  [[noreturn]] void pipeline() {
    int ends[2];
    check(pipe(ends) == 0, __LINE__);
    if (fork() == 0) {
      close(ends[1]);
      read_numbers(ends[0]);
    }
    close(ends[0]);
    for (std::uint64_t number = 0;; number++) {
      check(write(ends[1], &number, sizeof number) == sizeof number, __LINE__);
      if (number % 8 == 0)
        check(nanosleep(&kTick, nullptr) == 0, __LINE__);
      beat();
    }
  }

  static inline volatile sig_atomic_t alarms_ = 0;

  [[noreturn]] void timer() {
    struct sigaction action {};
    action.sa_handler = [](int) { alarms_ = alarms_ + 1; };
    check(sigaction(SIGALRM, &action, nullptr) == 0, __LINE__);
    sigset_t blocked;
    sigset_t open;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGALRM);
    sigprocmask(SIG_BLOCK, &blocked, &open);
    expected_mask_ = mask();
    for (;;) {
      // One shot: an alarm that is lost is never made up for, and this stands still.
      const itimerval shot{{0, 0}, {0, kTickMs * 500}};
      const sig_atomic_t before = alarms_;
      check(setitimer(ITIMER_REAL, &shot, nullptr) == 0, __LINE__);
      while (alarms_ == before)
        check(sigsuspend(&open) == -1 && errno == EINTR && alarms_ != before, __LINE__);
      beat();
    }
  }

  [[noreturn]] void spin() {
    for (;;) {
      volatile unsigned count = 0;
      while (count < 200'000)
        count = count + 1;
      check(nanosleep(&kTick, nullptr) == 0, __LINE__);
      beat();
    }
  }

  Page& page_;
  std::size_t index_;
  bool again_;
  Node node_;
  std::uint64_t expected_mask_ = 0;
  pid_t pid_ = 0, ppid_ = 0, sid_ = 0;
};

}  // namespace

const char* name_of(Kind kind) {
  constexpr std::array<const char*, static_cast<std::size_t>(Kind::kCount)> kNames = {
      "terminal", "poll",  "select", "sleep",    "epoll", "threads", "forks",
      "spawns",   "execs", "writer", "pipeline", "timer", "spin",    "stopped"};
  return kNames.at(static_cast<std::size_t>(kind));
}

void run_actor(std::size_t index, bool again) {
  void* const page = mmap(nullptr, sizeof(Page), PROT_READ | PROT_WRITE, MAP_SHARED, kPageFd, 0);
  if (page == MAP_FAILED)
    _exit(1);
  Actor(*static_cast<Page*>(page), index, again).run();
}

}  // namespace grab::soak
