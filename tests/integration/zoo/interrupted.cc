// SPDX-License-Identifier: MIT
// Calls that a move interrupts: those with a timeout which the kernel does not make again, and
// those in which a signal with a handler arrives while the program is moved.
#include <errno.h>
#include <linux/aio_abi.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/prctl.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <thread>

#include "integration/zoo/zoo.h"

namespace zoo {
namespace {

constexpr int kLimitS = 8;

struct Limited {
  std::string name;
  std::function<long()> wait;  ///< for kLimitS; as the call gives it
};

timespec limit_of_time() {
  return {kLimitS, 0};
}

long wait_for_event() {
  epoll_event event{};
  const int set = ::epoll_create1(EPOLL_CLOEXEC);
  return ::epoll_wait(set, &event, 1, kLimitS * 1000);
}

long wait_for_event_by_clock() {
  epoll_event event{};
  const int set = ::epoll_create1(EPOLL_CLOEXEC);
  const timespec limit = limit_of_time();
  return ::syscall(SYS_epoll_pwait2, set, &event, 1, &limit, nullptr, 0);
}

long take_semaphore() {
  const auto set = static_cast<int>(must(::semget(IPC_PRIVATE, 1, 0600), "semget"));
  say("semaphores " + std::to_string(set) + ";\n");
  sembuf take{0, -1, 0};
  const timespec limit = limit_of_time();
  return ::semtimedop(set, &take, 1, &limit);
}

long wait_for_signal() {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGRTMIN + 4);
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  const timespec limit = limit_of_time();
  return ::sigtimedwait(&set, nullptr, &limit);
}

long receive(bool by_read) {
  int ends[2];
  must(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), "socketpair");
  const timeval limit{kLimitS, 0};
  must(::setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), "SO_RCVTIMEO");
  char byte = 0;
  return by_read ? ::read(ends[0], &byte, 1) : ::recv(ends[0], &byte, 1, 0);
}

long accept_client() {
  const auto server =
      static_cast<int>(must(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;  // without a name: the kernel gives it an abstract one
  must(::bind(server, reinterpret_cast<const sockaddr*>(&address), sizeof(sa_family_t)), "bind");
  must(::listen(server, 1), "listen");
  const timeval limit{kLimitS, 0};
  must(::setsockopt(server, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), "SO_RCVTIMEO");
  return ::accept4(server, nullptr, nullptr, SOCK_CLOEXEC);
}

long get_io_events() {
  aio_context_t context = 0;
  must(::syscall(SYS_io_setup, 1, &context), "io_setup");
  io_event event{};
  timespec limit = limit_of_time();
  return ::syscall(SYS_io_getevents, context, 1, 1, &event, &limit);
}

// What arrives while the program is moved.
thread_local int handled_here = 0;
std::atomic<long> handled{0}, interrupted{0}, wrong{0};

void count_signal(int /*signo*/) {
  ++handled_here;
}

/// Waits by `wait` for ever; each EINTR must have had its signal.
void wait_and_count(const std::function<long()>& wait, bool restarts) {
  for (;;) {
    const int before = handled_here;
    errno = 0;
    const long result = wait();
    handled += handled_here - before;
    if (result >= 0)
      return;  // it is over
    ++interrupted;
    if (errno != EINTR || handled_here == before || restarts)
      ++wrong;
  }
}

void install(int signo, int flags) {
  struct sigaction action {};
  action.sa_handler = count_signal;
  action.sa_flags = flags;
  must(::sigaction(signo, &action, nullptr), "sigaction");
}

/// Sends to each thread its signal, again and again, until the parent is gone.
[[noreturn]] void send_signals(pid_t parent, const std::array<std::pair<pid_t, int>, 3>& threads) {
  (void)::prctl(PR_SET_PDEATHSIG, SIGKILL);
  for (;;) {
    for (const auto& [tid, signo] : threads)
      (void)::syscall(SYS_tgkill, parent, tid, signo);
    const timespec pause{0, 200'000};
    (void)::nanosleep(&pause, nullptr);
  }
}

}  // namespace

int limited_calls(const Args& /*args*/) {
  const std::array<Limited, 8> all = {{{"epoll_wait", wait_for_event},
                                       {"epoll_pwait2", wait_for_event_by_clock},
                                       {"semtimedop", take_semaphore},
                                       {"sigtimedwait", wait_for_signal},
                                       {"io_getevents", get_io_events},
                                       {"recv", [] { return receive(false); }},
                                       {"read", [] { return receive(true); }},
                                       {"accept", accept_client}}};
  std::array<std::atomic<pid_t>, all.size()> tids{};
  for (std::size_t i = 0; i < all.size(); ++i) {
    std::thread([&all, &tids, i] {
      tids[i] = ::gettid();
      const auto begin = std::chrono::steady_clock::now();
      const long result = all[i].wait();
      const std::string gave = result < 0 ? std::strerror(errno) : std::to_string(result);
      const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(
          std::chrono::steady_clock::now() - begin);
      say(all[i].name + " gave " + gave + " after " + std::to_string(took.count()) + " ms;\n");
    }).detach();
  }
  for (auto& tid : tids) {
    while (tid.load() == 0)
      ::sched_yield();
    wait_until_asleep(tid.load());
  }
  // They are to have waited for a good part of their time.
  std::this_thread::sleep_for(std::chrono::seconds(2));
  say_ready();
  return serve();
}

int handlers(const Args& /*args*/) {
  install(SIGRTMIN + 5, SA_RESTART);
  install(SIGRTMIN + 6, 0);
  install(SIGRTMIN + 7, SA_RESTART);
  static int pipe_ends[2];
  must(::pipe2(pipe_ends, 0), "pipe2");
  const auto read_byte = [] {
    char byte = 0;
    return ::read(pipe_ends[0], &byte, 1);
  };
  const auto poll_pipe = [] {
    pollfd wanted{pipe_ends[0], POLLPRI, 0};  // does not come
    return static_cast<long>(::poll(&wanted, 1, -1));
  };
  std::array<std::atomic<pid_t>, 3> tids{};
  std::thread([&] { tids[0] = ::gettid(), wait_and_count(read_byte, true); }).detach();
  std::thread([&] { tids[1] = ::gettid(), wait_and_count(read_byte, false); }).detach();
  std::thread([&] { tids[2] = ::gettid(), wait_and_count(poll_pipe, false); }).detach();
  for (auto& tid : tids) {
    while (tid.load() == 0)
      ::sched_yield();
    wait_until_asleep(tid.load());
  }
  const pid_t parent = ::getpid();
  if (must(::fork(), "fork") == 0) {
    send_signals(parent,
                 {{{tids[0], SIGRTMIN + 5}, {tids[1], SIGRTMIN + 6}, {tids[2], SIGRTMIN + 7}}});
  }
  say_ready();
  return serve({{"check", [] {
                   say("handled " + std::to_string(handled) + ", interrupted " +
                       std::to_string(interrupted) + ", wrong " + std::to_string(wrong) + ";\n");
                 }}});
}

}  // namespace zoo
