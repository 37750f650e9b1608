// SPDX-License-Identifier: MIT
// Threads that are blocked in every call in which a program may wait, each of which says whether
// the call came back as it would have without a move.
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "integration/zoo/zoo.h"

namespace zoo {
namespace {

constexpr long kNapNs = 200'000'000;  // long beside a move, short beside a test

std::atomic<bool> released{false};
thread_local int usr2_here = 0;

void on_usr2(int /*signo*/) {
  ++usr2_here;
}

/// A pair of descriptors: a waiter waits on `in`, a byte written to `out` lets it go.
struct Pair {
  int in = -1;
  int out = -1;
};

Pair make_pipe() {
  int ends[2];
  must(::pipe2(ends, O_CLOEXEC), "pipe2");
  return {ends[0], ends[1]};
}

void give_byte(int fd) {
  must(::write(fd, "x", 1), "write");
}

/// `run` blocks and returns what is wrong, nothing when all is well; `release` lets it go.
struct Waiter {
  std::string name;
  std::function<std::string()> run;
  std::function<void(pthread_t)> release;
};

std::string expect(long result, long wanted, const char* call) {
  if (result == wanted)
    return {};
  return std::string(call) + " gave " + std::to_string(result) + " " +
         (result < 0 ? std::strerror(errno) : "");
}

std::string expect_byte(int fd) {
  char byte = 0;
  return expect(::read(fd, &byte, 1), 1, "read");
}

using On = std::function<std::string(int fd)>;

Waiter on_pipe(const char* name, const On& run) {
  const Pair pipe = make_pipe();
  return {name, [run, pipe] { return run(pipe.in); },
          [pipe](pthread_t /*thread*/) { give_byte(pipe.out); }};
}

std::string wait_select(int fd, bool masked) {
  fd_set set;
  FD_ZERO(&set);
  FD_SET(fd, &set);
  sigset_t mask;
  ::sigfillset(&mask);
  return masked ? expect(::pselect(fd + 1, &set, nullptr, nullptr, nullptr, &mask), 1, "pselect")
                : expect(::select(fd + 1, &set, nullptr, nullptr, nullptr), 1, "select");
}

std::string wait_epoll(int fd, bool masked) {
  const int set = ::epoll_create1(EPOLL_CLOEXEC);
  epoll_event event{};
  event.events = EPOLLIN;
  must(::epoll_ctl(set, EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
  sigset_t mask;
  ::sigfillset(&mask);
  return masked ? expect(::epoll_pwait(set, &event, 1, -1, &mask), 1, "epoll_pwait")
                : expect(::epoll_wait(set, &event, 1, -1), 1, "epoll_wait");
}

std::string wait_poll(int fd, bool masked) {
  pollfd wanted{fd, POLLIN, 0};
  sigset_t mask;
  ::sigfillset(&mask);
  return masked ? expect(::ppoll(&wanted, 1, nullptr, &mask), 1, "ppoll")
                : expect(::poll(&wanted, 1, -1), 1, "poll");
}

/// Naps until it is released; each must take its time, no less, and end well.
Waiter napping(const char* name, const std::function<std::string()>& nap) {
  return {name,
          [nap] {
            while (!released.load()) {
              timespec start{}, end{};
              ::clock_gettime(CLOCK_MONOTONIC, &start);
              if (auto wrong = nap(); !wrong.empty())
                return wrong;
              ::clock_gettime(CLOCK_MONOTONIC, &end);
              const long took =
                  (end.tv_sec - start.tv_sec) * 1'000'000'000 + (end.tv_nsec - start.tv_nsec);
              // poll(2) counts in ms, and may be 1 ms early against this clock
              if (took < kNapNs - 2'000'000)
                return "ended after " + std::to_string(took) + " ns";
            }
            return std::string();
          },
          [](pthread_t /*thread*/) {}};
}

std::string nap_futex() {
  int word = 0;
  const timespec limit{0, kNapNs};
  const long result = ::syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &limit, nullptr, 0);
  return result == -1 && errno == ETIMEDOUT
             ? std::string()
             : expect(result, -1, "futex") + "?" + std::strerror(errno);
}

std::string nap_until() {
  timespec until{};
  ::clock_gettime(CLOCK_MONOTONIC, &until);
  until.tv_nsec += kNapNs;
  until.tv_sec += until.tv_nsec / 1'000'000'000;
  until.tv_nsec %= 1'000'000'000;
  const int err = ::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr);
  return err == 0 ? std::string() : std::string("clock_nanosleep: ") + std::strerror(err);
}

std::string nap_select() {
  timeval limit{0, kNapNs / 1000};
  return expect(::select(0, nullptr, nullptr, nullptr, &limit), 0, "select");
}

void add_naps(std::vector<Waiter>& all) {
  const timespec nap{0, kNapNs};
  all.push_back(
      napping("nanosleep", [nap] { return expect(::nanosleep(&nap, nullptr), 0, "nanosleep"); }));
  all.push_back(napping("clock_nanosleep until", nap_until));
  all.push_back(napping("poll for a while",
                        [] { return expect(::poll(nullptr, 0, kNapNs / 1'000'000), 0, "poll"); }));
  all.push_back(napping("select for a while", nap_select));
  all.push_back(napping("futex for a while", nap_futex));
  all.push_back(napping("clock_nanosleep for a while", [nap] {
    return expect(::clock_nanosleep(CLOCK_MONOTONIC, 0, &nap, nullptr), 0, "clock_nanosleep");
  }));
  all.push_back(napping("ppoll for a while", [nap] {
    sigset_t mask;
    ::sigfillset(&mask);
    return expect(::ppoll(nullptr, 0, &nap, &mask), 0, "ppoll");
  }));
  all.push_back(napping("pselect for a while", [nap] {
    sigset_t mask;
    ::sigfillset(&mask);
    return expect(::pselect(0, nullptr, nullptr, nullptr, &nap, &mask), 0, "pselect");
  }));
}

void add_pipes(std::vector<Waiter>& all) {
  all.push_back(on_pipe("read", expect_byte));
  all.push_back(on_pipe("poll", [](int fd) { return wait_poll(fd, false); }));
  all.push_back(on_pipe("ppoll", [](int fd) { return wait_poll(fd, true); }));
  all.push_back(on_pipe("select", [](int fd) { return wait_select(fd, false); }));
  all.push_back(on_pipe("pselect", [](int fd) { return wait_select(fd, true); }));
  all.push_back(on_pipe("epoll_wait", [](int fd) { return wait_epoll(fd, false); }));
  all.push_back(on_pipe("epoll_pwait", [](int fd) { return wait_epoll(fd, true); }));
}

void add_sockets(std::vector<Waiter>& all) {
  int ends[2];
  must(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), "socketpair");
  all.push_back({"recv",
                 [fd = ends[0]] {
                   char byte = 0;
                   return expect(::recv(fd, &byte, 1, 0), 1, "recv");
                 },
                 [fd = ends[1]](pthread_t /*thread*/) { give_byte(fd); }});
  const auto server =
      static_cast<int>(must(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
  auto address = std::make_shared<sockaddr_un>();
  address->sun_family = AF_UNIX;  // without a name: the kernel gives it an abstract one
  socklen_t size = sizeof(sa_family_t);
  must(::bind(server, reinterpret_cast<const sockaddr*>(address.get()), size), "bind");
  must(::listen(server, 1), "listen");
  size = sizeof(sockaddr_un);
  must(::getsockname(server, reinterpret_cast<sockaddr*>(address.get()), &size), "getsockname");
  all.push_back({"accept",
                 [server] {
                   return ::accept4(server, nullptr, nullptr, SOCK_CLOEXEC) >= 0
                              ? std::string()
                              : std::string("accept: ") + std::strerror(errno);
                 },
                 [address, size](pthread_t /*thread*/) {
                   const int client = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
                   must(::connect(client, reinterpret_cast<const sockaddr*>(address.get()), size),
                        "connect");
                 }});
}

std::string write_much(int fd) {
  const std::vector<char> much(200'000, 'x');  // a pipe holds 65,536
  std::size_t done = 0;
  while (done < much.size()) {
    const ssize_t count = ::write(fd, much.data() + done, much.size() - done);
    if (count < 0)
      return std::string("write: ") + std::strerror(errno);
    done += static_cast<std::size_t>(count);
  }
  return done == much.size() ? std::string() : "write wrote " + std::to_string(done);
}

void add_files(std::vector<Waiter>& all) {
  const Pair pipe = make_pipe();
  all.push_back({"write", [pipe] { return write_much(pipe.out); },
                 [pipe](pthread_t /*thread*/) {
                   std::vector<char> buffer(200'000);
                   for (std::size_t left = buffer.size(); left > 0;)
                     left -= static_cast<std::size_t>(
                         must(::read(pipe.in, buffer.data(), left), "read"));
                 }});
  const auto event = static_cast<int>(must(::eventfd(0, EFD_CLOEXEC), "eventfd"));
  all.push_back({"read of an eventfd",
                 [event] {
                   eventfd_t value = 0;
                   return expect(::eventfd_read(event, &value), 0, "eventfd_read");
                 },
                 [event](pthread_t /*thread*/) { must(::eventfd_write(event, 1), "eventfd"); }});
}

Waiter signalled(const char* name, const std::function<void()>& wait) {
  return {name,
          [wait] {
            wait();
            return usr2_here == 1
                       ? std::string()
                       : "came back with " + std::to_string(usr2_here) + " signals handled";
          },
          [](pthread_t thread) { ::pthread_kill(thread, SIGUSR2); }};
}

void add_signals(std::vector<Waiter>& all) {
  all.push_back(signalled("pause", [] { ::pause(); }));
  all.push_back(signalled("sigsuspend", [] {
    sigset_t mask;
    ::sigfillset(&mask);
    ::sigdelset(&mask, SIGUSR2);
    ::sigsuspend(&mask);
  }));
  all.push_back({"sigwaitinfo",
                 [] {
                   sigset_t set;
                   ::sigemptyset(&set);
                   ::sigaddset(&set, SIGRTMIN + 3);
                   ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
                   return expect(::sigwaitinfo(&set, nullptr), SIGRTMIN + 3, "sigwaitinfo");
                 },
                 [](pthread_t thread) { ::pthread_kill(thread, SIGRTMIN + 3); }});
}

void add_others(std::vector<Waiter>& all) {
  static int word = 0;
  all.push_back({"futex",
                 [] {
                   return expect(
                       ::syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, nullptr, nullptr, 0), 0,
                       "futex");
                 },
                 [](pthread_t /*thread*/) {
                   ::syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
                 }});
  const Pair pipe = make_pipe();
  const auto child = static_cast<pid_t>(must(::fork(), "fork"));
  if (child == 0) {
    (void)::prctl(PR_SET_PDEATHSIG, SIGKILL);
    char byte = 0;
    ::_exit(::read(pipe.in, &byte, 1) == 1 ? 5 : 6);
  }
  all.push_back({"waitpid",
                 [child] {
                   int status = 0;
                   auto wrong = expect(::waitpid(child, &status, 0), child, "waitpid");
                   return wrong.empty() ? expect(WEXITSTATUS(status), 5, "the child") : wrong;
                 },
                 [pipe](pthread_t /*thread*/) { give_byte(pipe.out); }});
}

/// Waits until an asynchronous read has been done.
void add_io_events(std::vector<Waiter>& all) {
  aio_context_t context = 0;
  must(::syscall(SYS_io_setup, 1, &context), "io_setup");
  const auto file = static_cast<int>(must(::memfd_create("file", MFD_CLOEXEC), "memfd_create"));
  all.push_back({"io_getevents",
                 [context] {
                   io_event event{};
                   return expect(::syscall(SYS_io_getevents, context, 1, 1, &event, nullptr), 1,
                                 "io_getevents");
                 },
                 [context, file](pthread_t /*thread*/) {
                   static char byte = 0;
                   iocb request{};
                   request.aio_lio_opcode = IOCB_CMD_PREAD;
                   request.aio_fildes = static_cast<std::uint32_t>(file);
                   request.aio_buf = reinterpret_cast<std::uint64_t>(&byte);
                   request.aio_nbytes = 1;
                   iocb* requests[] = {&request};
                   must(::syscall(SYS_io_submit, context, 1, requests), "io_submit");
                 }});
}

/// The set and the queue outlive their process; the test is told their numbers and removes them.
void add_ipc(std::vector<Waiter>& all) {
  struct Message {
    long type = 1;
    char text = 'x';
  };
  const auto set = static_cast<int>(must(::semget(IPC_PRIVATE, 1, 0600), "semget"));
  const auto queue = static_cast<int>(must(::msgget(IPC_PRIVATE, 0600), "msgget"));
  say("semaphores " + std::to_string(set) + " and queue " + std::to_string(queue) + ";\n");
  all.push_back({"semop",
                 [set] {
                   sembuf take{0, -1, 0};
                   return expect(::semop(set, &take, 1), 0, "semop");
                 },
                 [set](pthread_t /*thread*/) {
                   sembuf give{0, 1, 0};
                   must(::semop(set, &give, 1), "semop");
                 }});
  all.push_back({"msgrcv",
                 [queue] {
                   Message message;
                   return expect(::msgrcv(queue, &message, 1, 1, 0), 1, "msgrcv");
                 },
                 [queue](pthread_t /*thread*/) {
                   const Message message;
                   must(::msgsnd(queue, &message, 1, 0), "msgsnd");
                 }});
}

class Waiting {
 public:
  explicit Waiting(bool with_ipc) {
    struct sigaction action {};
    action.sa_handler = on_usr2;
    must(::sigaction(SIGUSR2, &action, nullptr), "sigaction");  // without SA_RESTART
    add_naps(waiters_);
    add_pipes(waiters_);
    add_sockets(waiters_);
    add_files(waiters_);
    add_signals(waiters_);
    add_others(waiters_);
    add_io_events(waiters_);
    if (with_ipc)
      add_ipc(waiters_);
    wrong_.resize(waiters_.size());
    tids_ = std::vector<std::atomic<pid_t>>(waiters_.size());
    for (std::size_t i = 0; i < waiters_.size(); ++i) {
      threads_.emplace_back([this, i] {
        tids_[i].store(::gettid());
        errno = 0;
        wrong_[i] = waiters_[i].run();
      });
    }
    for (auto& tid : tids_) {
      while (tid.load() == 0)
        ::sched_yield();
      wait_until_asleep(tid.load());
    }
  }

  /// How many came back as they should; the rest in `complaints`.
  std::size_t release(std::string& complaints) {
    released.store(true);
    for (std::size_t i = 0; i < waiters_.size(); ++i)
      waiters_[i].release(threads_[i].native_handle());
    std::size_t good = 0;
    for (std::size_t i = 0; i < waiters_.size(); ++i) {
      threads_[i].join();
      if (wrong_[i].empty())
        ++good;
      else
        complaints += waiters_[i].name + ": " + wrong_[i] + "\n";
    }
    return good;
  }

  [[nodiscard]] std::size_t count() const { return waiters_.size(); }

 private:
  std::vector<Waiter> waiters_;
  std::vector<std::string> wrong_;
  std::vector<std::atomic<pid_t>> tids_;
  std::vector<std::thread> threads_;
};

}  // namespace

int blocked(const Args& /*args*/) {
  Waiting waiting(true);
  say_ready();
  return serve({{"release", [&waiting] {
                   std::string complaints;
                   const std::size_t good = waiting.release(complaints);
                   say(complaints + "blocked: " + (good == waiting.count() ? "all" : "NOT ALL") +
                       " well\n");
                 }}});
}

int blocked_tree(const Args& args) {
  const int count = args.empty() ? 3 : std::atoi(args[0].c_str());
  std::vector<int> orders;
  std::vector<pid_t> pids;
  const Pair ready = make_pipe();
  for (int i = 0; i < count; ++i) {
    const Pair order = make_pipe();
    const auto pid = static_cast<pid_t>(must(::fork(), "fork"));
    if (pid == 0) {
      (void)::prctl(PR_SET_PDEATHSIG, SIGKILL);
      Waiting waiting(false);
      give_byte(ready.out);
      std::string complaints = expect_byte(order.in);
      const std::size_t good = waiting.release(complaints);
      say(complaints);
      ::_exit(good == waiting.count() && complaints.empty() ? 0 : 1);
    }
    orders.push_back(order.out);
    pids.push_back(pid);
    char byte = 0;
    must(::read(ready.in, &byte, 1), "read");
  }
  say_ready();
  return serve({{"release", [&] {
                   bool well = true;
                   for (std::size_t i = 0; i < pids.size(); ++i) {
                     give_byte(orders[i]);
                     int status = 0;
                     well = ::waitpid(pids[i], &status, 0) == pids[i] && status == 0 && well;
                   }
                   say(std::string("blocked tree: ") + (well ? "all" : "NOT ALL") + " well\n");
                 }}});
}

}  // namespace zoo
