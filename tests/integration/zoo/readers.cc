// SPDX-License-Identifier: MIT
// Threads that wait for input from the terminal, each by another call, and say what it gave.
#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <list>
#include <thread>

#include "integration/zoo/zoo.h"

namespace zoo {
namespace {

constexpr int kForEver = -1;

struct Limit {
  explicit Limit(int ms)
      : milliseconds(ms), time{ms / 1000, (ms % 1000) * 1'000'000L}, brief{ms / 1000, 0} {
    brief.tv_usec = time.tv_nsec / 1000;
  }
  int milliseconds;
  timespec time;
  timeval brief;
  [[nodiscard]] const timespec* as_timespec() const {
    return milliseconds == kForEver ? nullptr : &time;
  }
  [[nodiscard]] timeval* as_timeval() { return milliseconds == kForEver ? nullptr : &brief; }
};

fd_set terminal_set() {
  fd_set set;
  FD_ZERO(&set);
  FD_SET(0, &set);
  return set;
}

int by_poll(Limit& limit) {
  pollfd wanted{0, POLLIN, 0};
  return ::poll(&wanted, 1, limit.milliseconds);
}
int by_ppoll(Limit& limit) {
  pollfd wanted{0, POLLIN, 0};
  return ::ppoll(&wanted, 1, limit.as_timespec(), nullptr);
}
int by_select(Limit& limit) {
  fd_set set = terminal_set();
  return ::select(1, &set, nullptr, nullptr, limit.as_timeval());
}
int by_pselect(Limit& limit) {
  fd_set set = terminal_set();
  return ::pselect(1, &set, nullptr, nullptr, limit.as_timespec(), nullptr);
}
int by_epoll(Limit& limit) {
  const auto set = static_cast<int>(must(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1"));
  epoll_event event{};
  event.events = EPOLLIN;
  must(::epoll_ctl(set, EPOLL_CTL_ADD, 0, &event), "epoll_ctl");
  return ::epoll_wait(set, &event, 1, limit.milliseconds);
}
int by_read(Limit& /*limit*/) {
  char byte = 0;
  return static_cast<int>(::read(0, &byte, 1));
}

struct Call {
  const char* name;
  int (*wait)(Limit& limit);
};
constexpr Call kCalls[] = {{"poll", by_poll},       {"ppoll", by_ppoll}, {"select", by_select},
                           {"pselect", by_pselect}, {"epoll", by_epoll}, {"read", by_read}};

void wait_and_say(const Call& call, int milliseconds) {
  using namespace std::chrono;
  Limit limit(milliseconds);
  const auto begun = steady_clock::now();
  const int result = call.wait(limit);
  const int err = errno;
  const auto took = duration_cast<std::chrono::milliseconds>(steady_clock::now() - begun).count();
  say(std::string(call.name) + " gave " +
      (result < 0 ? std::string(std::strerror(err)) : std::to_string(result)) + " after " +
      std::to_string(took) + " ms;\n");
}

}  // namespace

int readers(const Args& args) {
  const int milliseconds = std::atoi(args.at(0).c_str());
  std::list<std::thread> threads;
  std::list<std::atomic<pid_t>> tids;
  for (const Call& call : kCalls) {
    if (std::find(args.begin() + 1, args.end(), call.name) == args.end())
      continue;
    auto& tid = tids.emplace_back(0);
    threads.emplace_back([&call, &tid, milliseconds] {
      tid = ::gettid();
      wait_and_say(call, milliseconds);
    });
  }
  for (auto& tid : tids) {
    while (tid.load() == 0)
      ::sched_yield();
    wait_until_asleep(tid.load());
  }
  say_ready();
  for (auto& thread : threads)
    thread.join();
  return serve();
}

}  // namespace zoo
